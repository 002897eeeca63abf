"""Sets of time, as sorted lists of disjoint (start, end); all by the plain definitions, none of it fast."""


def union(spans):
    """The union; touching spans join, empty ones vanish."""
    out = []
    for start, end in sorted(s for s in spans if s[1] > s[0]):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def minus(a, b):
    """The part of a union that another does not cover."""
    out, i = [], 0
    for start, end in a:
        while i < len(b) and b[i][1] <= start:
            i += 1
        j = i
        while j < len(b) and b[j][0] < end:
            if b[j][0] > start:
                out.append((start, b[j][0]))
            start = max(start, b[j][1])
            j += 1
        if start < end:
            out.append((start, end))
    return out


def length(a):
    """Nanoseconds in a union."""
    return sum(end - start for start, end in a)


def clip(a, start, end):
    """The part of a union inside a window."""
    return [(max(s, start), min(e, end)) for s, e in a if s < end and e > start]


def innermost(spans):
    """Of (start, end, number), by place in the list: the stretches of time in which each was the innermost.

    The innermost of several at one moment is the one that started last, then the shorter one, then the one with the
    higher number.
    """
    order = sorted(range(len(spans)), key=lambda i: (spans[i][0], -spans[i][1], spans[i][2]))
    stretches, open_, now = [[] for _ in spans], [], None

    def run_until(moment):
        nonlocal now
        while open_:
            top = open_[-1]
            until = spans[top][1] if moment is None else min(spans[top][1], moment)
            if until > now:
                stretches[top].append((now, until))
                now = until
            if moment is not None and spans[top][1] > moment:
                break
            open_.pop()

    for i in order:
        if open_:
            run_until(spans[i][0])
        now = spans[i][0] if now is None else max(now, spans[i][0])
        open_.append(i)
    run_until(None)
    return stretches


def self_times(spans):
    """How long each was the innermost."""
    return [length(s) for s in innermost(spans)]
