complete -c profd -l config -d 'Read options from a TOML file; see profd-config(5)' -r -F
complete -c profd -l port -d 'TCP port to listen on; 0 chooses a free port and reports it' -r
complete -c profd -l bind -d 'Address to listen on; may be repeated [default: 127.0.0.1, and ::1 if the host has it]' -r
complete -c profd -l certs-dir -d 'Certificate directory of the server (see certck(1)), or NO_CERTS for plain TCP on loopback' -r -F
complete -c profd -l tls-min -d 'Minimum TLS version; 1.2 is for old clients' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profd -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c profd -l ipc -d 'Sockets for processes: abstract[=NAME], home[=DIR], dir=DIR [default: all of them]' -r
complete -c profd -l allow-uid -d 'Also serve processes of this user id; may be repeated [default: the daemon\'s own user only]' -r
complete -c profd -l allow-user -d 'Also serve processes of this user, by name; may be repeated' -r
complete -c profd -l allow-gid -d 'Also serve processes of this group, by name or number; may be repeated' -r
complete -c profd -l ipc-mode -d 'Mode of the socket files in octal: 0600, 0660 or 0666' -r
complete -c profd -l output-root -d 'Reject configs that write outside this directory; may be repeated, `/` for any path' -r -F
complete -c profd -l rules -d 'File with the rules that say which clients may do what; see profd-rules(5) [default: all of them everything]' -r -F
complete -c profd -l audit-log -d 'Append one JSON line for each request and each rejected client to a file; `journal` or `-` (standard output)' -r -F
complete -c profd -l user -d 'Become this user after everything is bound; the daemon must be started as root' -r
complete -c profd -l state-dir -d 'Directory for what a restart must not lose [default: that of STATE_DIRECTORY, which systemd sets]' -r -F
complete -c profd -l log-format -d 'Form of the log' -r -f -a "auto\t'`journald` in the systemd journal, otherwise `plain`'
plain\t'`profd: subject: message`, as other tools: for terminals, and for readers that add the time'
text\t'The same after the time (UTC) and the level'
json\t'One record `profd.log` for each line'
journald\t'`plain` with the priority in front, as the systemd journal reads it: it has its own time'"
complete -c profd -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c profd -l metric-log-dir -d 'Record the metrics of processes in files of this directory' -r -F
complete -c profd -l metric-format -d 'Formats of those files, one or several' -r -f -a "jsonl\t'JSON lines, records of type profd.metric'
csv\t'Comma-separated values'
tensorboard\t'TensorBoard event files, in msMonitor\'s layout'
sqlite\t'SQLite databases with the schema of msMonitor'"
complete -c profd -l metric-file-size -d 'Size at which a metric file is closed and the next one is created' -r
complete -c profd -l metric-file-age -d 'Age at which a metric file is closed and the next one is created [default: no limit]' -r
complete -c profd -l metric-files -d 'Maximum number of metric files of each format, of TensorBoard\'s for each device [default: no limit]' -r
complete -c profd -l metric-total-size -d 'Maximum total size of the metric files of each format, of TensorBoard\'s for each device [default: no limit]' -r
complete -c profd -l metric-disk-reserve -d 'Free disk space below which no metrics are recorded' -r
complete -c profd -l metric-queue -d 'Maximum number of metrics that wait for each destination; further ones are dropped and counted' -r
complete -c profd -l metric-attribution -d 'Facts about the sending processes to add to metrics, one or several' -r -f -a "rank\t'Its rank, and its rank on the host'
slurm\t'Its Slurm job, account and partition'
kubernetes\t'Its pod and namespace'
none\t'Nothing'"
complete -c profd -l env-attribution-mappings-file -d 'File with further variables of processes that metrics show, one `VARIABLE,NAME` a line' -r -F
complete -c profd -l host-interval -d 'Time between two samples of the host' -r
complete -c profd -l http-listen -d 'Serve /metrics for Prometheus, and /healthz and /readyz, over HTTP on this address of loopback' -r
complete -c profd -l otlp-endpoint -d 'Send totals of the metrics to an OpenTelemetry collector (OTLP over HTTP): http[s]://HOST[:PORT]' -r
complete -c profd -l otlp-service-name -d 'Name of the service in what is sent' -r
complete -c profd -l otlp-header-file -d 'File with headers for the collector, one `Name: value` a line; mode 0600' -r -F
complete -c profd -l otlp-ca -d 'Trust anchors for a collector with HTTPS, PEM [default: the system\'s]' -r -F
complete -c profd -l otlp-cert -d 'Certificate that the daemon shows to the collector, PEM, with those between it and the root' -r -F
complete -c profd -l otlp-key -d 'Private key of that certificate, PEM without a passphrase; mode 0600' -r -F
complete -c profd -l otlp-interval -d 'Time between two exports' -r
complete -c profd -l otlp-timeout -d 'Timeout of a request to the collector' -r
complete -c profd -l otlp-spool-size -d 'Memory for requests that wait while the collector is away; the oldest are dropped and counted' -r
complete -c profd -l device-metrics -d 'Show the metrics of accelerators on /metrics: nvml, dcgm, dcmi, or `auto` for those whose library is there' -r -f -a "auto\t'Each of them whose library is there'
nvml\t'NVIDIA GPUs: utilization, memory, power, temperature, errors, processes'
dcgm\t'NVIDIA GPUs: the profiling counters, which the host engine of DCGM reads'
dcmi\t'Ascend NPUs'"
complete -c profd -l device-interval -d 'Time between two samples of the devices' -r
complete -c profd -l device-timeout -d 'Time after which a driver that does not answer is counted as hanging, and its metrics are left out' -r
complete -c profd -l nvml-library -d 'File of the library of NVML; it and its directories must belong to root or to the user of the daemon' -r -F
complete -c profd -l dcgm-library -d 'File of the library of DCGM, under the same condition' -r -F
complete -c profd -l dcmi-library -d 'File of the library of DCMI, under the same condition' -r -F
complete -c profd -l dcgm-address -d 'Address of the host engine of DCGM (nv-hostengine), which measures' -r
complete -c profd -l max-connections -d 'Maximum number of established connections' -r
complete -c profd -l max-connections-per-peer -d 'Maximum number of established connections with one certificate from one address (IPv6: from one /64); over plain TCP, of one address' -r
complete -c profd -l max-pending-connections -d 'Maximum number of pending connections: those that are not established yet' -r
complete -c profd -l max-pending-connections-per-peer -d 'Maximum number of pending connections from one address (IPv6: from one /64)' -r
complete -c profd -l max-handshake-rate -d 'Maximum number of TLS handshakes in a second of clients from addresses without a recent success' -r
complete -c profd -l max-connection-age -d 'Maximum age of a connection; it is then closed between two requests, and the client connects anew' -r
complete -c profd -l worker-threads -d 'Number of threads that serve clients, at most one less than there are processors' -r
complete -c profd -l nice -d 'Niceness of those threads: how far they stand back behind the training processes' -r
complete -c profd -l max-request -d 'Maximum length of a request, from 64 bytes to 16MiB' -r
complete -c profd -l handshake-timeout -d 'Timeout of a TLS handshake' -r
complete -c profd -l read-timeout -d 'Timeout of a request, from its first byte to its last' -r
complete -c profd -l write-timeout -d 'Timeout of sending a reply' -r
complete -c profd -l idle-timeout -d 'Time after which a connection without a request is closed' -r
complete -c profd -l drain-timeout -d 'Time for requests in progress after SIGTERM; a second signal stops the daemon at once' -r
complete -c profd -l max-processes -d 'Maximum number of registered processes; further ones are not served' -r
complete -c profd -l keep-alive -d 'Time without a message after which a process expires; one that ends is removed at once' -r
complete -c profd -l config-expiry -d 'Time after which a config that its process has not fetched expires' -r
complete -c profd -l ready-fd -d 'Write a newline to this file descriptor when the daemon is ready, for example for s6' -r
complete -c profd -l foreign-flag -d 'An option of the existing daemons, inserted when the command line is rewritten' -r
complete -c profd -l option-warning -d 'A warning about the command line, inserted when it is rewritten' -r
complete -c profd -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profd -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profd -l insecure-listen -d 'With NO_CERTS, allow addresses that other hosts can reach'
complete -c profd -l enable-ipc-monitor -d 'Serve training processes; without this option no process can be traced'
complete -c profd -l no-sandbox -d 'Do not confine the daemon with Landlock and seccomp'
complete -c profd -l check-config -d 'Check the options, directories, certificates and rules, and exit'
complete -c profd -l accept-new-roots -d 'Accept a new trust root when the certificates are reloaded, instead of at a restart only'
complete -c profd -l use-json -d 'Write metrics to standard output, if --metric-log-dir is not given'
complete -c profd -l host-metrics -d 'Record and send samples of the host, too: processors and network devices, by the names of dynolog'
complete -c profd -l http-tls -d 'Serve HTTP with mutual TLS, with the certificates of --certs-dir'
complete -c profd -l dynolog-names -d 'Show the metrics of the host also under the names of dynolog (cpu_util, rx_bytes and others)'
complete -c profd -l use-otlp -d 'Send metrics to the collector of OTEL_EXPORTER_OTLP_ENDPOINT, if --otlp-endpoint is not given'
complete -c profd -l enable-perf-monitor -d 'Count the cycles and instructions of the processors, over all processes, on /metrics'
complete -c profd -l device-worker -d 'This process asks a driver for the daemon that has started it'
complete -c profd -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profd -s v -l verbose -d 'Say on standard error what is being done'
complete -c profd -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profd -s V -l version -d 'Print version'
