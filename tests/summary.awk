# Summarizes the output of `cargo test --no-fail-fast` (standard output and error in one): counts per test program,
# and the lines that tests report (tests/kit). `status` is cargo's exit status. Prints what was used, noted and
# failed, and one last line; exits with 1 unless all tests that ran passed.
#
# Lines of cargo and libtest that are read:
#   `     Running tests/x.rs (target/debug/deps/x-0123)` and `   Doc-tests x`: a test program begins
#   `test result: ok. 3 passed; 0 failed; 1 ignored; ...`: its result; rustdoc may write several for one crate
#   `failures:`, then `    name` lines: the tests that failed
# And of trycmd: `Testing tests/cases/x.md:7 ... failed`, with the difference below it until the next `Testing`: shown again at the
# end, since much may follow it.
# A program without a result died: a signal, an abort, an exit within a test.

BEGIN { MOST_LINES_OF_A_STEP = 40; programs = passed = failed = skipped = partly = ignored = died = 0 }

{ gsub(/\033\[[0-9;]*m/, ""); sub(/\r$/, "") }

/^Testing .* \.\.\. / { in_step = / \.\.\. failed/ ? MOST_LINES_OF_A_STEP : 0 }
/^(Update snapshots|test |failures:$)/ { in_step = 0 }
in_step > 0 { in_step--; if (/[^ ]/) details[++detail_count] = $0 }

/^ *Running .*\(.*\)$/ || /^ *Doc-tests / {
    end_program()
    programs++
    doctests = $1 == "Doc-tests"
    program = doctests ? "doc-tests " $2 : program_name()
    next
}

/^test .* \.\.\. ignored, / { sub(/^.* \.\.\. ignored, /, ""); why_ignored[$0]++; next }

# With one thread, libtest begins the line: `test name ... SKIPPED name: reason`.
{ sub(/^test [^ ]+ \.\.\. /, "") }

/^SKIPPED [^ ]/ { report("SKIPPED "); if (!(test in reason)) reason[test] = text; next }
/^PARTLY SKIPPED [^ ]/ { report("PARTLY SKIPPED "); part[test] = text; next }
/^NOTE [^ ]/ { sub(/^NOTE /, ""); notes[++note_count] = $0; next }
/^USED [^ ]/ { sub(/^USED /, ""); if (!used[$0]++) versions[++version_count] = $0; next }

# A failed test may show the result of a program that it ran itself: the last result is the program's own.
/^test result: / {
    if (!doctests) p = f = i = 0
    p += $4; f += $6; i += $8
    has_result = 1
    in_failures = 0
    next
}
/^failures:$/ { in_failures = 1; next }
in_failures && /^    [^ ]/ { sub(/^    /, ""); names[$0] = 1; next }
{ in_failures = 0 }

# Sets `test` and `text` from `MARK test: text`.
function report(mark) {
    $0 = substr($0, length(mark) + 1)
    # Paths of modules have `::`, never `: `.
    at = index($0, ": ")
    test = at ? substr($0, 1, at - 1) : $0
    text = at ? substr($0, at + 2) : "no reason given"
}

# `tests/x.rs of y` from `Running tests/x.rs (target/debug/deps/y-0123)`: many crates have a src/lib.rs.
function program_name(   source, binary) {
    source = binary = $0
    sub(/^ *Running (unittests )?/, "", source)
    sub(/ \([^()]*\)$/, "", source)
    sub(/^.*[(\/]/, "", binary)
    sub(/(-[0-9a-f]+)?\)$/, "", binary)
    return source " of " binary
}

function end_program(   name) {
    if (program == "") return
    if (!has_result) {
        died++
        failures[++failure_count] = program ": ended without a result"
    }
    # A test that reported and then failed has failed. One that is not in the count of passed ones was not counted.
    for (name in reason) if (!(name in names) && p > 0) { p--; skipped++; why[reason[name]]++ }
    for (name in part) if (!(name in names) && !(name in reason)) { partly++; why_part[part[name]]++ }
    for (name in names) failures[++failure_count] = program ": " name
    passed += p; failed += f; ignored += i
    p = f = i = has_result = in_failures = 0
    program = ""
    split("", reason); split("", part); split("", names)
}

# `2 no openssl on PATH, 1 not root`: the most frequent first, equal counts in the order of their text.
function counted(counts,   text, best, line) {
    line = ""
    while (1) {
        best = ""
        for (text in counts)
            if (best == "" || counts[text] > counts[best] || (counts[text] == counts[best] && text < best)) best = text
        if (best == "") return line
        line = line (line == "" ? "" : ", ") counts[best] " " best
        delete counts[best]
    }
}

function brackets(text) { return text == "" ? "" : " (" text ")" }

END {
    end_program()
    for (n = 1; n <= version_count; n++) print "test: used " versions[n]
    for (n = 1; n <= note_count; n++) print "test: note: " notes[n]
    for (n = 1; n <= failure_count; n++) print "test: FAILED " failures[n]
    for (n = 1; n <= detail_count; n++) print "test: | " details[n]
    if (programs == 0 || passed + failed + skipped + died == 0) {
        print "test: no test ran: cargo ended with status " status ", see its errors above"
        exit 1
    }
    line = "test: " passed " passed"
    if (partly) line = line ", of them " partly " in part" brackets("without: " counted(why_part))
    line = line ", " failed + died " failed"
    if (died) line = line brackets(died (died == 1 ? " test program" : " test programs") " without a result")
    line = line ", " skipped " skipped" brackets(counted(why))
    if (ignored) line = line ", " ignored " ignored" brackets(counted(why_ignored))
    if (status != 0 && failed + died == 0) line = line "; not all of them ran: cargo ended with status " status
    print line
    exit failed + died > 0 || status != 0
}
