complete -c profd -l port -d 'Port for requests; 0 takes a free one and tells it' -r
complete -c profd -l bind -d 'Address to listen on; may be given again [default: 127.0.0.1, and ::1 where there is one]' -r
complete -c profd -l certs-dir -d 'Certificate directory of the server (see certck(1)), or NO_CERTS for plain TCP on loopback' -r -F
complete -c profd -l tls-min -d 'Lowest TLS version; 1.2 is for old clients' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profd -l key-passphrase-file -d 'File with the passphrase of an encrypted server.key; its last line end is not part of it' -r -F
complete -c profd -l ipc -d 'Where processes find the daemon: abstract[=NAME], home[=DIR], dir=DIR [default: all that exist]' -r
complete -c profd -l allow-uid -d 'Serve processes of this user too, by number; may be given again [default: the daemon\'s own user]' -r
complete -c profd -l output-root -d 'Refuse configs that write outside this directory; may be given again [default: any path]' -r -F
complete -c profd -l metric-log-dir -d 'Record metrics of the processes as JSON lines in this directory' -r -F
complete -c profd -l max-connections -d 'Maximum number of established connections' -r
complete -c profd -l max-connections-per-peer -d 'Maximum number of established connections from one address (IPv6: from one /64)' -r
complete -c profd -l max-pending-connections -d 'Maximum number of pending connections: those that are not established yet' -r
complete -c profd -l max-pending-connections-per-peer -d 'Maximum number of pending connections from one address (IPv6: from one /64)' -r
complete -c profd -l max-request -d 'Longest request' -r
complete -c profd -l handshake-timeout -d 'Time for a TLS handshake' -r
complete -c profd -l read-timeout -d 'Time for a whole request' -r
complete -c profd -l write-timeout -d 'Time for a client to take its reply' -r
complete -c profd -l idle-timeout -d 'Time that a client may stay silent between requests' -r
complete -c profd -l drain-timeout -d 'Time for requests in progress after the signal to stop; a second signal cuts it short' -r
complete -c profd -l max-processes -d 'Most registered processes; further ones are not served' -r
complete -c profd -l keep-alive -d 'Time after which a silent process is forgotten; one that ends is forgotten at once' -r
complete -c profd -l config-expiry -d 'Time after which a config that its process did not fetch is forgotten' -r
complete -c profd -l metric-queue -d 'Most metrics that wait to be recorded; further ones are dropped and counted' -r
complete -c profd -l metric-file-size -d 'Size at which a metric file is closed and the next one begun' -r
complete -c profd -l metric-disk-reserve -d 'Free disk space that recording leaves alone' -r
complete -c profd -l ready-fd -d 'Write a newline to this descriptor when ready' -r
complete -c profd -l foreign-flag -d 'Options of existing daemons, found by the rewriting of the command line' -r
complete -c profd -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profd -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profd -l insecure-listen -d 'Let NO_CERTS listen on addresses that other hosts reach'
complete -c profd -l enable-ipc-monitor -d 'Serve training processes; without it, there is nothing to trace'
complete -c profd -l use-json -d 'Without --metric-log-dir, write metrics to standard output'
complete -c profd -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profd -s v -l verbose -d 'Say on standard error what is being done'
complete -c profd -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profd -s V -l version -d 'Print version'
