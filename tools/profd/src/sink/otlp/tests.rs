use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::spool::SpooledRequest;
use super::*;
use crate::counters::{Counters, SinkKind};
use crate::log::DaemonLog;
use crate::sink::series::tests::metric_of;
use common::out::Verbosity;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use prost::Message;

/// A collector that answers with these statuses and bodies, one after the other, and hands out what it gets.
fn start_collector(answers: Vec<(u16, Vec<u8>)>) -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/metrics", listener.local_addr().unwrap());
    let (got, received) = channel();
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        while let Ok((stream, _)) = listener.accept() {
            serve(stream, &mut answers, &got);
        }
    });
    (endpoint, received)
}

fn serve(
    mut stream: TcpStream,
    answers: &mut impl Iterator<Item = (u16, Vec<u8>)>,
    got: &std::sync::mpsc::Sender<(String, Vec<u8>)>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.to_lowercase();
            length = lower.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().unwrap());
            if line == "\r\n" {
                break;
            }
            head += &lower;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let _ = got.send((head, body));
        let (status, body) = answers.next().unwrap_or((200, Vec::new()));
        write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
        stream.write_all(&body).unwrap();
    }
}

fn start_sink(endpoint: String) -> (OtlpSink, Arc<Counters>) {
    let counters: Arc<Counters> = Arc::default();
    let log = DaemonLog::start(Verbosity::Quiet, counters.clone()).unwrap();
    let plan = OtlpPlan {
        endpoint,
        port: 0,
        service_name: "svc".to_owned(),
        header_file: None,
        ca: None,
        identity: None,
        resource: vec![("deployment.environment".to_owned(), "test".to_owned())],
        interval: Duration::from_millis(1),
        timeout: Duration::from_secs(10),
        spool_bytes: 1 << 20,
    };
    let account = SinkAccount::new(SinkKind::Otlp, counters.clone(), log);
    (OtlpSink::start(plan, "node1".to_owned(), false, account).unwrap(), counters)
}

/// Name, seconds or number, and whether cumulative and monotonic, of each point.
fn points(body: &[u8]) -> Vec<(String, f64, bool)> {
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let metrics = request.resource_metrics.into_iter().flat_map(|r| r.scope_metrics).flat_map(|s| s.metrics);
    let mut points = Vec::new();
    for metric in metrics {
        let Some(Data::Sum(sum)) = metric.data else { panic!("not a sum") };
        let is_total = sum.is_monotonic && sum.aggregation_temporality == 2;
        for point in sum.data_points {
            assert!(point.start_time_unix_nano > 0 && point.time_unix_nano >= point.start_time_unix_nano);
            let value = match point.value.unwrap() {
                Value::AsDouble(value) => value,
                #[expect(clippy::cast_precision_loss, reason = "a small number")]
                Value::AsInt(value) => value as f64,
            };
            points.push((metric.name.clone(), value, is_total));
        }
    }
    points
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn totals_are_sent_again_until_they_are_taken() {
    let (endpoint, received) = start_collector(vec![(503, Vec::new()), (200, Vec::new())]);
    let (mut sink, counters) = start_sink(endpoint);
    std::thread::sleep(Duration::from_millis(2));
    sink.write(&[Arc::new(metric_of(0, 1, "Kernel")), Arc::new(metric_of(0, 1, "Kernel"))]);
    let (head, first) = received.recv_timeout(PATIENCE).unwrap();
    assert_eq!(counters.metrics_recorded.get(), 0, "the collector has not taken it");
    assert!(
        head.starts_with("post /v1/metrics ") && head.contains("content-type: application/x-protobuf"),
        "{head}"
    );
    let (_, second) = received.recv_timeout(PATIENCE).unwrap();
    assert_eq!(first, second, "the same request again");
    let expected = [
        ("profd.activity.time".to_owned(), 0.1624609, true),
        ("profd.activity.reports".to_owned(), 2.0, true),
    ];
    assert_eq!(points(&first), expected);
    let request = ExportMetricsServiceRequest::decode(first.as_slice()).unwrap();
    let resource = request.resource_metrics[0].resource.as_ref().unwrap();
    let keys: Vec<_> = resource.attributes.iter().map(|a| a.key.as_str()).collect();
    assert_eq!(keys, ["service.name", "service.version", "host.name", "os.type", "deployment.environment"]);
    // The next one has the total of everything, and of changed series only.
    std::thread::sleep(Duration::from_millis(2));
    sink.write(&[Arc::new(metric_of(0, 2, "API")), Arc::new(metric_of(0, 2, "API"))]);
    drop(sink);
    let (_, third) = received.recv_timeout(PATIENCE).unwrap();
    assert_eq!(points(&third).len(), 2);
    assert_eq!((counters.metrics_recorded.get(), counters.metrics_not_written.get()), (4, 0));
}

#[test]
fn what_the_collector_refuses_is_counted() {
    let rejected =
        ExportMetricsPartialSuccess { rejected_data_points: 1, error_message: "\x1b[31m".to_owned() };
    let partial = ExportMetricsServiceResponse { partial_success: Some(rejected) }.encode_to_vec();
    let (endpoint, received) =
        start_collector(vec![(400, b"no".to_vec()), (200, partial), (200, vec![0xff; 100])]);
    let (mut sink, counters) = start_sink(endpoint);
    for pid in 1..=3 {
        std::thread::sleep(Duration::from_millis(2));
        sink.write(&[Arc::new(metric_of(0, pid, "Kernel"))]);
        received.recv_timeout(PATIENCE).unwrap();
    }
    drop(sink);
    assert_eq!(counters.metrics_not_written.get(), 3, "two points of the first request, one of the second");
}

#[test]
fn totals_that_were_refused_are_sent_again_although_they_do_not_change() {
    let (endpoint, received) = start_collector(vec![(400, Vec::new())]);
    let (mut sink, counters) = start_sink(endpoint);
    std::thread::sleep(Duration::from_millis(2));
    sink.write(&[Arc::new(metric_of(0, 1, "Kernel"))]);
    let (_, refused) = received.recv_timeout(PATIENCE).unwrap();
    let start = Instant::now();
    let again = loop {
        assert!(start.elapsed() < PATIENCE, "nothing was sent again");
        std::thread::sleep(Duration::from_millis(2));
        sink.tick();
        if let Ok((_, body)) = received.try_recv() {
            break body;
        }
    };
    assert_eq!(points(&again), points(&refused));
    drop(sink);
    assert!(received.try_recv().is_err(), "once is enough");
    assert_eq!(counters.metrics_not_written.get(), 2);
}

#[test]
fn totals_that_are_always_refused_are_sent_less_and_less_often() {
    let second = Duration::from_secs(1);
    let mut timer = ResendTimer::new(second);
    let mut now = Instant::now();
    let mut pauses = Vec::new();
    for _ in 0..3 {
        timer.note_loss(now);
        assert!(!timer.take_due(now));
        pauses.push(timer.pause);
        now += timer.pause;
        assert!(timer.take_due(now) && !timer.take_due(now));
    }
    assert_eq!(pauses, [second, 2 * second, 4 * second]);
    timer.note_loss(now + 100 * second);
    assert_eq!(timer.pause, second, "the one before was taken");
}

#[test]
fn a_collector_that_is_away_does_not_hold_up_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/metrics", listener.local_addr().unwrap());
    drop(listener);
    let (mut sink, counters) = start_sink(endpoint);
    std::thread::sleep(Duration::from_millis(2));
    sink.write(&[Arc::new(metric_of(0, 1, "Kernel"))]);
    let start = Instant::now();
    drop(sink);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(counters.metrics_not_written.get(), 2);
}

#[test]
fn a_collector_that_has_taken_nothing_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/metrics", listener.local_addr().unwrap());
    drop(listener);
    let (mut sink, counters) = start_sink(endpoint);
    assert_eq!(counters.list_stalled_sinks(), Vec::<String>::new());
    std::thread::sleep(Duration::from_millis(2));
    let metrics: Vec<_> = (0..50).map(|n| Arc::new(metric_of(0, n % 2, "Kernel"))).collect();
    sink.write(&metrics);
    let start = Instant::now();
    while counters.list_stalled_sinks().is_empty() {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(2));
    }
    let stalled = &counters.list_stalled_sinks()[0];
    assert!(
        stalled.starts_with("otlp: nothing was taken for ") && stalled.contains(", 50 metrics waiting: "),
        "{stalled}"
    );
    assert_eq!((counters.metrics_recorded.get(), counters.snapshot()["metrics.sink.otlp.waiting"]), (0, 50));
}

#[test]
fn a_full_spool_drops_the_oldest() {
    let (spool, reader) = RequestSpool::create(100);
    let request = |n: u8, bytes| SpooledRequest {
        body: vec![n; bytes].into(),
        points: n.into(),
        metrics: n.into(),
        has_totals: n == 2,
    };
    assert_eq!(
        [spool.push(request(1, 50)), spool.push(request(2, 50)), spool.push(request(4, 60))]
            .map(|d| (d.points, d.metrics)),
        [(0, 0), (0, 0), (3, 3)]
    );
    assert_eq!((spool.take_loss(), spool.take_loss()), (true, false), "totals were among them");
    let oldest = reader.wait_for_oldest().unwrap();
    assert_eq!((oldest.points, reader.count_points()), (4, 4));
    assert_eq!(spool.push(request(8, 200)).points, 12, "one that is larger than the spool does not fit");
    // It was dropped while it was sent: another one must not be removed for it.
    assert_eq!(spool.push(request(1, 1)).points, 0);
    assert!(!reader.remove(&oldest));
    assert_eq!(reader.count_points(), 1);
}
