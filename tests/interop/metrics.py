"""Sends metrics as msMonitor's process side does, and reads what profd makes of them. See `metrics` beside it."""

import csv
import glob
import http.server
import json
import os
import re
import socket
import sqlite3
import struct
import sys
import time
import urllib.parse
import urllib.request

KINDS = "Marker Kernel API AclAPI NodeAPI RuntimeAPI Hccl Communication Memory MemSet MemCpy".split()
HOST_KINDS = {"API", "AclAPI", "NodeAPI", "RuntimeAPI"}
START = 1_772_366_400_000_000_000
DURATION = 1_000_000


def expected(count):
    """Number of metrics by kind and device; -1 is the host."""
    numbers = {}
    for n in range(count):
        kind = KINDS[n % len(KINDS)]
        device = -1 if kind in HOST_KINDS else n % 2
        numbers[kind, device] = numbers.get((kind, device), 0) + 1
    return numbers


def send(path, count):
    own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    own.bind("\0interop-metrics-%d" % os.getpid())
    for n in range(count):
        kind = KINDS[n % len(KINDS)]
        device = -1 if kind in HOST_KINDS else n % 2
        metric = {"kind": kind, "deviceId": device, "duration": DURATION, "timestamp": START + n * 10 * DURATION}
        if kind == "Marker":
            metric |= {"domain": 'd"1', "name": "forward,\n\"x\""}
        body = json.dumps(metric).encode()
        datagram = struct.pack("=Q32s", len(body), b"data") + body
        while True:
            try:
                own.sendto(datagram, path)
                break
            except BlockingIOError:
                time.sleep(0.001)


def issuer(certck, directory):
    """Prints the issuer of a client certificate, as rules files name it."""
    import subprocess

    shown = subprocess.run([certck, "--format", "json", "show", f"{directory}/client.crt"], capture_output=True, text=True)
    for line in shown.stdout.splitlines():
        if name := json.loads(line).get("issuer"):
            print(name)
            return
    sys.exit(f"no issuer in {shown.stdout or shown.stderr}")


def targets(port):
    """Waits until the target with a certificate is up, and the one without is not."""
    end = time.time() + 30
    health = {}
    while time.time() < end:
        try:
            answer = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/targets"))
            health = {t["labels"]["job"]: t["health"] for t in answer["data"]["activeTargets"]}
        except OSError:
            pass
        if health == {"profd": "up", "stranger": "down"}:
            print(f"targets: {health}")
            return
        time.sleep(0.2)
    sys.exit(f"the targets are {health}")


def query(port):
    def ask(text):
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": text})
        try:
            return json.load(urllib.request.urlopen(url))["data"]["result"]
        except OSError:
            return []

    wanted = {
        'up{job="profd"}': 1,
        "sum(profd_activity_reports_total)": 500,
        "count(count by (kind) (profd_activity_seconds_total))": 11,
        'sum(profd_activity_seconds_total{device="host"}) > 0': None,
        "sum(rate(node_cpu_seconds_total[10s])) > 0": None,
        "node_memory_MemTotal_bytes > 1e6": None,
        "node_network_receive_bytes_total": None,
        "cpu_util >= 0": None,
        "time() - process_start_time_seconds < 600": None,
        "profd_sink_lost_total > 0": "nothing",
    }
    end = time.time() + 30
    for text, value in wanted.items():
        while True:
            result = ask(text)
            found = not result if value == "nothing" else bool(result)
            if found and isinstance(value, int):
                found = float(result[0]["value"][1]) == value
            if found:
                break
            assert time.time() < end, (text, result)
            time.sleep(0.5)
    print(f"Prometheus answers {len(wanted)} queries as expected")


def tensorboard(root, count):
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    runs = EventMultiplexer(size_guidance={"scalars": 0}).AddRunsFromDirectory(root).Reload()
    names = set(runs.Runs())
    assert names == {"device_0", "device_1", "device_host"}, names
    for (kind, device), number in expected(count).items():
        run = "device_host" if device < 0 else f"device_{device}"
        points = runs.Scalars(run, 'Marker/d"1' if kind == "Marker" else kind)
        assert [p.step for p in points] == list(range(number)), (kind, [p.step for p in points][:5])
        assert {p.value for p in points} == {float(DURATION)}, kind
        assert abs(points[-1].wall_time - time.time()) < 3600
    print(f"TensorBoard reads {count} points of {len(names)} runs")


def sqlite(root, count):
    (path,) = glob.glob(f"{root}/msmonitor_*_-1.db")
    base = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    one = lambda text: base.execute(text).fetchone()[0]
    assert one("PRAGMA integrity_check") == "ok"
    kinds = dict(base.execute("SELECT value, count(*) FROM CANN_API JOIN STRING_IDS ON id = name GROUP BY 1"))
    numbers = expected(count)
    assert kinds == {f"{kind} (sum)": numbers[kind, -1] for kind in HOST_KINDS}, kinds
    tasks = one("SELECT count(*) FROM TASK") + one("SELECT count(*) FROM COMMUNICATION_OP")
    assert tasks + sum(kinds.values()) == count, (tasks, kinds)
    assert one("SELECT DISTINCT endNs - startNs FROM TASK") == DURATION
    text = one("SELECT DISTINCT value FROM MSTX_EVENTS JOIN STRING_IDS ON id = message")
    assert text == 'forward,\n"x"', text
    print(f"sqlite3 reads {count} metrics")


def read_csv(root, count):
    (path,) = glob.glob(f"{root}/metrics-*.csv")
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = {}
    for row in rows:
        key = row["kind"], int(row["device_id"])
        numbers[key] = numbers.get(key, 0) + 1
        assert row["name"] == ('forward,\\n"x"' if row["kind"] == "Marker" else "")
    assert numbers == expected(count)
    print(f"csv reads {len(rows)} rows")


def traceq(info, totals):
    lines = [json.loads(line) for path in (info, totals) for line in open(path)]
    print(*(sorted({line["type"] for line in lines})))
    text = json.dumps(lines)
    assert '"errors": 0' in text, text


def collect(path):
    """A collector that writes down what it gets. It refuses the first request, for now."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    seen = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = ExportMetricsServiceRequest.FromString(body)
            assert self.path == "/v1/metrics" and self.headers["Content-Type"] == "application/x-protobuf"
            entry = {"first": not seen, "points": []}
            for resource in request.resource_metrics:
                entry["resource"] = {a.key: a.value.string_value for a in resource.resource.attributes}
                for metric in (m for scope in resource.scope_metrics for m in scope.metrics):
                    for point in metric.sum.data_points:
                        labels = {a.key: a.value.string_value or a.value.int_value for a in point.attributes}
                        value = point.as_int if metric.unit == "{report}" else point.as_double
                        assert metric.sum.is_monotonic and metric.sum.aggregation_temporality == 2
                        assert 0 < point.start_time_unix_nano <= point.time_unix_nano
                        entry["points"].append([metric.name, metric.unit, labels, value])
            seen.append(body)
            if len(seen) == 2:
                assert seen[0] == seen[1], "the refused request comes again"
            if len(seen) > 1:
                with open(path, "a") as file:
                    file.write(json.dumps(entry) + "\n")
            self.send_response(503 if len(seen) == 1 else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Collector)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def otlp(path, count):
    totals = {}
    for line in open(path):
        entry = json.loads(line)
        assert entry["resource"]["service.name"] == "profd" and entry["resource"]["host.name"], entry["resource"]
        for name, unit, labels, value in entry["points"]:
            # Cumulative: the last one counts.
            totals[name, unit, labels["profd.activity.kind"], labels["hw.id"]] = value
    for (kind, device), number in expected(count).items():
        at = "host" if device < 0 else str(device)
        assert totals["profd.activity.reports", "{report}", kind, at] == number, (kind, device)
        seconds = totals["profd.activity.time", "s", kind, at]
        assert abs(seconds - number * DURATION / 1e9) < 1e-12, (kind, seconds)
    print(f"opentelemetry-proto decodes {len(totals)} totals")


def panels_of(path):
    with open(path, encoding="utf-8") as file:
        return [panel for panel in json.load(file)["panels"] if panel["type"] != "row"]


def dashboard(path):
    """Every query of the dashboard as a recording rule, for promtool; and what a viewer would trip over."""
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    ids = [panel["id"] for panel in document["panels"]]
    assert len(set(ids)) == len(ids) and document["uid"] and document["title"], ids
    variables = {variable["name"] for variable in document["templating"]["list"]}
    places = set()
    print("groups:\n- name: dashboard\n  rules:")
    for panel in panels_of(path):
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & places, f"{panel['title']} lies over another panel"
        places |= cells
        assert panel["description"] and panel["datasource"]["uid"] == "${datasource}", panel["title"]
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "5m")
            used = set(re.findall(r"\$(\w+)", expression))
            assert used <= variables, (panel["title"], used)
            expression = expression.replace("$job", "profd").replace("$instance", ".*")
            print(f"  - {{record: 'panel:{panel['id']}_{target['refId']}', expr: {json.dumps(expression)}}}")


def grafana(path):
    """The models that Grafana publishes for dashboards take it, and leave nothing of it out."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(document)))
    lost = []

    def look(ours, theirs, place):
        if isinstance(ours, dict) and isinstance(theirs, dict):
            for key, value in ours.items():
                look(value, theirs[key], f"{place}.{key}") if key in theirs else lost.append(f"{place}.{key}")
        elif isinstance(ours, list) and isinstance(theirs, list):
            for i, value in enumerate(ours):
                look(value, theirs[i], f"{place}[{i}]") if i < len(theirs) else lost.append(f"{place}[{i}]")
        elif ours != theirs:
            lost.append(f"{place}: {ours} became {theirs}")

    look(document, again, "")
    assert not lost, lost[:10]
    print(f"Grafana's models take {len(document['panels'])} panels")


if __name__ == "__main__":
    command, *args = sys.argv[1:]
    functions = {"send": send, "query": query, "tensorboard": tensorboard, "sqlite": sqlite, "csv": read_csv}
    functions |= {"traceq": traceq, "collect": collect, "otlp": otlp, "issuer": issuer, "targets": targets}
    functions |= {"dashboard": dashboard, "grafana": grafana}
    functions[command](*(int(a) if a.isdigit() and command != "query" else a for a in args))
