# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_certck_global_optspecs
    string join \n format= color= q/quiet v/verbose h/help V/version
end

function __fish_certck_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_certck_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_certck_using_subcommand
    set -l cmd (__fish_certck_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c certck -n "__fish_certck_needs_command" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c certck -n "__fish_certck_needs_command" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_needs_command" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_needs_command" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_needs_command" -s V -l version -d 'Print version'
complete -c certck -n "__fish_certck_needs_command" -f -a "check" -d 'Check certificate directories against every rule'
complete -c certck -n "__fish_certck_needs_command" -f -a "crl" -d 'Check, make and fetch certificate revocation lists'
complete -c certck -n "__fish_certck_needs_command" -f -a "mint" -d 'Make a certificate authority, a server\'s and a client\'s directory'
complete -c certck -n "__fish_certck_needs_command" -f -a "ocsp" -d 'Ask OCSP responders whether certificates are revoked'
complete -c certck -n "__fish_certck_needs_command" -f -a "probe" -d 'Check live daemons by TLS handshakes'
complete -c certck -n "__fish_certck_needs_command" -f -a "revoke" -d 'Revoke certificates and make a new CRL'
complete -c certck -n "__fish_certck_needs_command" -f -a "rules" -d 'List the rules that certck checks'
complete -c certck -n "__fish_certck_needs_command" -f -a "show" -d 'Show the content of certificates, CRLs, signing requests and keys'
complete -c certck -n "__fish_certck_needs_command" -f -a "verify" -d 'Validate certificate paths given as JSON lines'
complete -c certck -n "__fish_certck_needs_command" -f -a "watch" -d 'Check certificate directories periodically and report changes'
complete -c certck -n "__fish_certck_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c certck -n "__fish_certck_using_subcommand check" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c certck -n "__fish_certck_using_subcommand check" -l role -d 'Kind of directory' -r -f -a "auto\t'Detected from the files in the directory'
server\t'A daemon\'s directory'
client\t'A client\'s directory'
ca\t'An authority\'s directory, with its ca.key'"
complete -c certck -n "__fish_certck_using_subcommand check" -l host -d 'Name or address for which a server\'s certificate must be valid; may be repeated' -r
complete -c certck -n "__fish_certck_using_subcommand check" -l warn-days -d 'Warn of certificates and CRLs that expire within N days [default: 30, or the last third of their validity if that is shorter]' -r
complete -c certck -n "__fish_certck_using_subcommand check" -l profile -d 'Strictness: compat for old and new peers; strict also requires what RFC 5280 obliges CAs to, and makes warnings errors' -r -f -a "compat\t'The rules that are needed for safe connections with old and new peers; anything merely unusual is a warning'
strict\t'Also what RFC 5280 obliges CAs to; warnings are errors'"
complete -c certck -n "__fish_certck_using_subcommand check" -l owner -d 'User who runs the program, by name or number: the required owner of the directories and files besides root, who must be able to read them [default: the user who runs certck; for root, the owner of each directory]' -r
complete -c certck -n "__fish_certck_using_subcommand check" -l suppress -d 'Ignore the findings that FILE lists, each with a reason and an expiry date' -r -F
complete -c certck -n "__fish_certck_using_subcommand check" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c certck -n "__fish_certck_using_subcommand check" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c certck -n "__fish_certck_using_subcommand check" -l passphrase-fd -d 'Read the passphrase of the private key from the first line of file descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand check" -l at -d 'Check as of TIMESTAMP instead of now: RFC 3339, a date (midnight UTC), or seconds since 1970' -r
complete -c certck -n "__fish_certck_using_subcommand check" -l fail-on -d 'Lowest severity that makes the exit status 1, or that is critical with --format nagios' -r -f -a "note\t'Worth knowing; not necessarily wrong'
warning\t'Allowed, and probably not meant'
error\t'Must be fixed'"
complete -c certck -n "__fish_certck_using_subcommand check" -s o -l output -d 'Write the report to FILE instead of standard output' -r -F
complete -c certck -n "__fish_certck_using_subcommand check" -l prometheus -d 'Also write metrics for node_exporter\'s textfile collector to FILE, replaced atomically' -r -F
complete -c certck -n "__fish_certck_using_subcommand check" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c certck -n "__fish_certck_using_subcommand check" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand check" -s r -l recursive -d 'Check every directory below DIR that holds a leaf or a leaf\'s key'
complete -c certck -n "__fish_certck_using_subcommand check" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c certck -n "__fish_certck_using_subcommand check" -l ask-passphrase -d 'Prompt for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand check" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand check" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -f -a "check" -d 'Check CRLs against the CA that issued them'
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -f -a "new" -d 'Make a new CRL that revokes what the present one revokes'
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -f -a "fetch" -d 'Download CRLs and replace ca.crl with them'
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -l ca -d 'The certificates of the CA, PEM or DER' -r -F
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -l warn-days -d 'Warn of certificates and CRLs that expire within N days [default: 30, or the last third of their validity if that is shorter]' -r
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -l fail-on -d 'Lowest severity that makes the exit status 1' -r -f -a "note\t'Worth knowing; not necessarily wrong'
warning\t'Allowed, and probably not meant'
error\t'Must be fixed'"
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l days -d 'Validity of the CRL in days [default: crl_days of the authority\'s authority.toml; else that of the present CRL, or 90]' -r
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l to -d 'Also replace ca.crl in this certificate directory; may be repeated' -r -F
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l passphrase-fd -d 'Read the passphrase of the private key from the first line of file descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l first -d 'Make the first CRL, number 01, without a present one. If the CRL was lost, copy it back instead: otherwise everything that it revoked is valid again'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l ask-passphrase -d 'Prompt for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -l url -d 'Address of the CRL [default: the distribution points of the leaf and its intermediates]' -r
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -l https-ca -d 'Trust anchors for HTTPS servers, PEM [default: the system\'s]' -r -F
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -s n -l dry-run -d 'Print what would be written, and write nothing'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check CRLs against the CA that issued them'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from help" -f -a "new" -d 'Make a new CRL that revokes what the present one revokes'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from help" -f -a "fetch" -d 'Download CRLs and replace ca.crl with them'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l from -d 'Read options from a TOML file: hosts, days, ca_days, crl_days, profile, algo, name, crl_urls, ocsp_urls. Options on the command line take precedence' -r -F
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l host -d 'Name or address of the server; may be repeated [default: localhost, 127.0.0.1, ::1]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l days -d 'Validity of the server\'s and client\'s certificates in days [default: 365]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l ca-days -d 'Validity of the root in days [default: 3650]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l crl-days -d 'Validity of the CRL in days [default: that of --days]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l profile -d 'Default kind of key: compat makes RSA keys of 3072 bits for the oldest peers, strict ECDSA keys on P-256 [default: strict]' -r -f -a "compat\t'The rules that are needed for safe connections with old and new peers; anything merely unusual is a warning'
strict\t'Also what RFC 5280 obliges CAs to; warnings are errors'"
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l algo -d 'Key algorithm [default: ecdsa-p256, or rsa-3072 with --profile compat]' -r -f -a "ecdsa-p256\t'ECDSA on P-256, signing with SHA-256'
ecdsa-p384\t'ECDSA on P-384, signing with SHA-384'
ed25519\t'Ed25519'
rsa-3072\t'RSA of 3072 bits, signing with SHA-256, which the oldest peers accept'
rsa-4096\t'RSA of 4096 bits, signing with SHA-256'"
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l name -d 'Common name of the root [default: "profguard CA" and six random hexadecimal digits]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l crl-url -d 'CRL distribution point to put into certificates, used by `certck crl fetch`; may be repeated [default of `mint leaf`: that of the authority\'s authority.toml]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l ocsp-url -d 'OCSP responder to put into certificates, used by `certck ocsp`; may be repeated [default of `mint leaf`: that of the authority\'s authority.toml]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l passphrase-fd -d 'Read the passphrase of the private key from the first line of file descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l encrypt -d 'Encrypt all private keys; needs one of the passphrase options'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -l ask-passphrase -d 'Prompt for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -a "leaf" -d 'Make another server\'s or client\'s directory under an existing authority'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -a "renew" -d 'Renew keys and certificates that expire soon'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -a "rollover" -d 'Replace the root of an authority, in three steps during which both roots are trusted'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew rollover help" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l role -d 'Role of the certificate' -r -f -a "server\t'A server, that is a daemon: `server.crt` and `server.key`'
client\t'A client: `client.crt` and `client.key`'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l host -d 'Name or address for which the certificate is valid; may be repeated; required for a server' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l name -d 'Common name, which identifies the client in audit logs [default: profguard server, profguard client]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l days -d 'Validity of the certificate in days [default: that of the authority\'s authority.toml, or 365]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l algo -d 'Key algorithm [default: that of the authority\'s authority.toml, or of its own key]' -r -f -a "ecdsa-p256\t'ECDSA on P-256, signing with SHA-256'
ecdsa-p384\t'ECDSA on P-384, signing with SHA-384'
ed25519\t'Ed25519'
rsa-3072\t'RSA of 3072 bits, signing with SHA-256, which the oldest peers accept'
rsa-4096\t'RSA of 4096 bits, signing with SHA-256'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l crl-url -d 'CRL distribution point to put into certificates, used by `certck crl fetch`; may be repeated [default of `mint leaf`: that of the authority\'s authority.toml]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l ocsp-url -d 'OCSP responder to put into certificates, used by `certck ocsp`; may be repeated [default of `mint leaf`: that of the authority\'s authority.toml]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l csr -d 'Issue the certificate for the key of this signing request, PEM, instead of a new key: DEST_DIR then has no key. Names and extensions of the request are ignored' -r -F
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l passphrase-fd -d 'Read the passphrase of the private key from the first line of file descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l encrypt -d 'Encrypt the private key; the same passphrase decrypts the authority\'s key if that is encrypted'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l ask-passphrase -d 'Prompt for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l before -d 'Renew what expires within N days [default: 30, or the last third of its validity if that is shorter]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l role -d 'Renew only certificates of this role' -r -f -a "server\t'A server, that is a daemon: `server.crt` and `server.key`'
client\t'A client: `client.crt` and `client.key`'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l days -d 'Validity of the new certificates in days [default: that of the old ones]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l algo -d 'Key algorithm of the new keys [default: that of the old ones]' -r -f -a "ecdsa-p256\t'ECDSA on P-256, signing with SHA-256'
ecdsa-p384\t'ECDSA on P-384, signing with SHA-384'
ed25519\t'Ed25519'
rsa-3072\t'RSA of 3072 bits, signing with SHA-256, which the oldest peers accept'
rsa-4096\t'RSA of 4096 bits, signing with SHA-256'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l passphrase-fd -d 'Read the passphrase of the private key from the first line of file descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l all -d 'Renew everything, whenever it expires'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l revoked -d 'Renew revoked certificates too: their holders get valid certificates again'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -s n -l dry-run -d 'Print what would be renewed, and change nothing'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l encrypt -d 'Encrypt the new private keys [default: if the old ones are encrypted]'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l plain -d 'Do not encrypt the new private keys, even if the old ones are encrypted'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l ask-passphrase -d 'Prompt for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from rollover" -l name -d 'Common name of the root [default: "profguard CA" and six random hexadecimal digits]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from rollover" -l ca-days -d 'Validity of the root in days [default: 3650]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from rollover" -l algo -d 'Key algorithm of the new root and, in renew, of new keys [default: that of the old ones]' -r -f -a "ecdsa-p256\t'ECDSA on P-256, signing with SHA-256'
ecdsa-p384\t'ECDSA on P-384, signing with SHA-384'
ed25519\t'Ed25519'
rsa-3072\t'RSA of 3072 bits, signing with SHA-256, which the oldest peers accept'
rsa-4096\t'RSA of 4096 bits, signing with SHA-256'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from rollover" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from rollover" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from rollover" -l passphrase-fd -d 'Read the passphrase of the private key from the first line of file descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from rollover" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from rollover" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from rollover" -l force -d 'Finish although certificates of the old root are still valid: their holders are rejected then'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from rollover" -l ask-passphrase -d 'Prompt for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from rollover" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from rollover" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from rollover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from help" -f -a "leaf" -d 'Make another server\'s or client\'s directory under an existing authority'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from help" -f -a "renew" -d 'Renew keys and certificates that expire soon'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from help" -f -a "rollover" -d 'Replace the root of an authority, in three steps during which both roots are trusted'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c certck -n "__fish_certck_using_subcommand ocsp" -l url -d 'Address of the responder for the leaves [default: the one in each certificate]' -r
complete -c certck -n "__fish_certck_using_subcommand ocsp" -l issuer -d 'File of issuers\' certificates that are not in PATH; may be repeated' -r -F
complete -c certck -n "__fish_certck_using_subcommand ocsp" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c certck -n "__fish_certck_using_subcommand ocsp" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c certck -n "__fish_certck_using_subcommand ocsp" -l https-ca -d 'Trust anchors for HTTPS servers, PEM [default: the system\'s]' -r -F
complete -c certck -n "__fish_certck_using_subcommand ocsp" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c certck -n "__fish_certck_using_subcommand ocsp" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand ocsp" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand ocsp" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand ocsp" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand probe" -l certs-dir -d 'Certificate directory of a client that the daemons accept' -r -F
complete -c certck -n "__fish_certck_using_subcommand probe" -l host -d 'Name for which each daemon\'s certificate must be valid [default: HOST]' -r
complete -c certck -n "__fish_certck_using_subcommand probe" -l ca -d 'Directory of the CA that issued the client\'s certificate, with its ca.key: to make client certificates that the daemons must reject' -r -F
complete -c certck -n "__fish_certck_using_subcommand probe" -l must-reject -d 'Directory of a client that the daemons must reject, such as an expired or revoked one; may be repeated' -r -F
complete -c certck -n "__fish_certck_using_subcommand probe" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c certck -n "__fish_certck_using_subcommand probe" -l warn-days -d 'Warn of certificates and CRLs that expire within N days [default: 30, or the last third of their validity if that is shorter]' -r
complete -c certck -n "__fish_certck_using_subcommand probe" -l fail-on -d 'Lowest severity that makes the exit status 1, or that is critical with --format nagios' -r -f -a "note\t'Worth knowing; not necessarily wrong'
warning\t'Allowed, and probably not meant'
error\t'Must be fixed'"
complete -c certck -n "__fish_certck_using_subcommand probe" -l suppress -d 'Ignore the findings that FILE lists, each with a reason and an expiry date; paths there are HOST:PORT' -r -F
complete -c certck -n "__fish_certck_using_subcommand probe" -s o -l output -d 'Write the report to FILE instead of standard output' -r -F
complete -c certck -n "__fish_certck_using_subcommand probe" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c certck -n "__fish_certck_using_subcommand probe" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c certck -n "__fish_certck_using_subcommand probe" -l passphrase-fd -d 'Read the passphrase of the private key from the first line of file descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand probe" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c certck -n "__fish_certck_using_subcommand probe" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand probe" -l ask-passphrase -d 'Prompt for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand probe" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand probe" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand probe" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand revoke" -l serial -d 'Serial number to revoke, in hexadecimal; may be repeated' -r
complete -c certck -n "__fish_certck_using_subcommand revoke" -l reason -d 'Reason of the revocation, by its name in RFC 5280, section 5.3.1' -r -f -a "unspecified\t'No reason is given'
key-compromise\t'The private key may be known to others'
affiliation-changed\t'The subject\'s name or affiliation changed'
superseded\t'A new certificate replaces it'
cessation-of-operation\t'It is no longer used'"
complete -c certck -n "__fish_certck_using_subcommand revoke" -l days -d 'Validity of the CRL in days [default: crl_days of the authority\'s authority.toml; else that of the present CRL, or 90]' -r
complete -c certck -n "__fish_certck_using_subcommand revoke" -l to -d 'Also replace ca.crl in this certificate directory; may be repeated' -r -F
complete -c certck -n "__fish_certck_using_subcommand revoke" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c certck -n "__fish_certck_using_subcommand revoke" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c certck -n "__fish_certck_using_subcommand revoke" -l passphrase-fd -d 'Read the passphrase of the private key from the first line of file descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand revoke" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand revoke" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand revoke" -l unlisted -d 'Also revoke serial numbers that issued.jsonl does not list: of certificates that other software issued with this key'
complete -c certck -n "__fish_certck_using_subcommand revoke" -l first -d 'Make the first CRL, number 01, without a present one. If the CRL was lost, copy it back instead: otherwise everything that it revoked is valid again'
complete -c certck -n "__fish_certck_using_subcommand revoke" -l ask-passphrase -d 'Prompt for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand revoke" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand revoke" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand rules" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand rules" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand rules" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand rules" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand rules" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand show" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c certck -n "__fish_certck_using_subcommand show" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand show" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand show" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand show" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand verify" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c certck -n "__fish_certck_using_subcommand verify" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand verify" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand verify" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand verify" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand watch" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c certck -n "__fish_certck_using_subcommand watch" -l role -d 'Kind of directory' -r -f -a "auto\t'Detected from the files in the directory'
server\t'A daemon\'s directory'
client\t'A client\'s directory'
ca\t'An authority\'s directory, with its ca.key'"
complete -c certck -n "__fish_certck_using_subcommand watch" -l host -d 'Name or address for which a server\'s certificate must be valid; may be repeated' -r
complete -c certck -n "__fish_certck_using_subcommand watch" -l warn-days -d 'Warn of certificates and CRLs that expire within N days [default: 30, or the last third of their validity if that is shorter]' -r
complete -c certck -n "__fish_certck_using_subcommand watch" -l profile -d 'Strictness: compat for old and new peers; strict also requires what RFC 5280 obliges CAs to, and makes warnings errors' -r -f -a "compat\t'The rules that are needed for safe connections with old and new peers; anything merely unusual is a warning'
strict\t'Also what RFC 5280 obliges CAs to; warnings are errors'"
complete -c certck -n "__fish_certck_using_subcommand watch" -l owner -d 'User who runs the program, by name or number: the required owner of the directories and files besides root, who must be able to read them [default: the user who runs certck; for root, the owner of each directory]' -r
complete -c certck -n "__fish_certck_using_subcommand watch" -l suppress -d 'Ignore the findings that FILE lists, each with a reason and an expiry date' -r -F
complete -c certck -n "__fish_certck_using_subcommand watch" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c certck -n "__fish_certck_using_subcommand watch" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c certck -n "__fish_certck_using_subcommand watch" -l passphrase-fd -d 'Read the passphrase of the private key from the first line of file descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand watch" -l interval -d 'Time from one round to the next, between 1s and 24h; a bare number is seconds' -r
complete -c certck -n "__fish_certck_using_subcommand watch" -l count -d 'Number of rounds [default: unlimited]' -r
complete -c certck -n "__fish_certck_using_subcommand watch" -l prometheus -d 'Write metrics for node_exporter\'s textfile collector to FILE in each round' -r -F
complete -c certck -n "__fish_certck_using_subcommand watch" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand watch" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand watch" -s r -l recursive -d 'Check every directory below DIR that holds a leaf or a leaf\'s key'
complete -c certck -n "__fish_certck_using_subcommand watch" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c certck -n "__fish_certck_using_subcommand watch" -l ask-passphrase -d 'Prompt for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand watch" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand watch" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "check" -d 'Check certificate directories against every rule'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "crl" -d 'Check, make and fetch certificate revocation lists'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "mint" -d 'Make a certificate authority, a server\'s and a client\'s directory'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "ocsp" -d 'Ask OCSP responders whether certificates are revoked'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "probe" -d 'Check live daemons by TLS handshakes'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "revoke" -d 'Revoke certificates and make a new CRL'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "rules" -d 'List the rules that certck checks'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "show" -d 'Show the content of certificates, CRLs, signing requests and keys'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "verify" -d 'Validate certificate paths given as JSON lines'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "watch" -d 'Check certificate directories periodically and report changes'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c certck -n "__fish_certck_using_subcommand help; and __fish_seen_subcommand_from crl" -f -a "check" -d 'Check CRLs against the CA that issued them'
complete -c certck -n "__fish_certck_using_subcommand help; and __fish_seen_subcommand_from crl" -f -a "new" -d 'Make a new CRL that revokes what the present one revokes'
complete -c certck -n "__fish_certck_using_subcommand help; and __fish_seen_subcommand_from crl" -f -a "fetch" -d 'Download CRLs and replace ca.crl with them'
complete -c certck -n "__fish_certck_using_subcommand help; and __fish_seen_subcommand_from mint" -f -a "leaf" -d 'Make another server\'s or client\'s directory under an existing authority'
complete -c certck -n "__fish_certck_using_subcommand help; and __fish_seen_subcommand_from mint" -f -a "renew" -d 'Renew keys and certificates that expire soon'
complete -c certck -n "__fish_certck_using_subcommand help; and __fish_seen_subcommand_from mint" -f -a "rollover" -d 'Replace the root of an authority, in three steps during which both roots are trusted'
