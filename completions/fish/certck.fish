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
complete -c certck -n "__fish_certck_needs_command" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_needs_command" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_needs_command" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_needs_command" -s V -l version -d 'Print version'
complete -c certck -n "__fish_certck_needs_command" -f -a "check" -d 'Judge certificate directories by every rule'
complete -c certck -n "__fish_certck_needs_command" -f -a "crl" -d 'Check, make and fetch certificate revocation lists'
complete -c certck -n "__fish_certck_needs_command" -f -a "mint" -d 'Make a certificate authority, a server\'s and a client\'s directory'
complete -c certck -n "__fish_certck_needs_command" -f -a "ocsp" -d 'Ask OCSP responders whether certificates are revoked'
complete -c certck -n "__fish_certck_needs_command" -f -a "probe" -d 'Shake hands with live daemons, and judge what they do'
complete -c certck -n "__fish_certck_needs_command" -f -a "revoke" -d 'Revoke certificates, and make the CRL that says so'
complete -c certck -n "__fish_certck_needs_command" -f -a "rules" -d 'List the rules that directories and daemons are held to'
complete -c certck -n "__fish_certck_needs_command" -f -a "show" -d 'Show what certificates, CRLs, signing requests and keys say'
complete -c certck -n "__fish_certck_needs_command" -f -a "verify" -d 'Validate certificate paths given as JSON lines'
complete -c certck -n "__fish_certck_needs_command" -f -a "watch" -d 'Check again and again, and report what changes'
complete -c certck -n "__fish_certck_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c certck -n "__fish_certck_using_subcommand check" -l files-from -d 'Take directories from FILE too, one per line; `-` is standard input' -r -F
complete -c certck -n "__fish_certck_using_subcommand check" -l role -d 'What the directories are for' -r -f -a "auto\t'Told by the files in the directory'
server\t'A daemon\'s'
client\t'A client\'s'
ca\t'An authority\'s, with its ca.key'"
complete -c certck -n "__fish_certck_using_subcommand check" -l host -d 'Name or address that a server\'s certificate must be good for; may be repeated' -r
complete -c certck -n "__fish_certck_using_subcommand check" -l warn-days -d 'Warn of a validity that ends within so many days, at most within its last third' -r
complete -c certck -n "__fish_certck_using_subcommand check" -l profile -d 'How much is demanded' -r -f -a "compat\t'What is needed to serve safely with old and new peers; what is only unusual is a warning'
strict\t'Besides, what RFC 5280 obliges CAs to; and what is unusual is an error'"
complete -c certck -n "__fish_certck_using_subcommand check" -l owner -d 'Whose the directories must be, besides root\'s: the user whose program starts with them, by name or number [default: who runs certck; for root, who owns each directory]' -r
complete -c certck -n "__fish_certck_using_subcommand check" -l suppress -d 'Do not count the findings that FILE lists with a reason and an end date' -r -F
complete -c certck -n "__fish_certck_using_subcommand check" -l passphrase-file -d 'Take the passphrase of the private key from the first line of FILE, mode 0600 or tighter' -r -F
complete -c certck -n "__fish_certck_using_subcommand check" -l passphrase-fd -d 'Take the passphrase of the private key from the first line of descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand check" -l at -d 'The time to judge for instead of now: RFC 3339, a date (its midnight UTC), or seconds since 1970' -r
complete -c certck -n "__fish_certck_using_subcommand check" -s o -l output -d 'Write the report to FILE, replaced in one step, instead of standard output' -r -F
complete -c certck -n "__fish_certck_using_subcommand check" -l prometheus -d 'Write metrics for node_exporter\'s textfile collector to FILE too, replaced in one step' -r -F
complete -c certck -n "__fish_certck_using_subcommand check" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c certck -n "__fish_certck_using_subcommand check" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand check" -s r -l recursive -d 'Look below each DIR for every directory that holds a leaf or a leaf\'s key, by their names'
complete -c certck -n "__fish_certck_using_subcommand check" -s 0 -l null -d 'The list is separated by NUL bytes instead of newlines'
complete -c certck -n "__fish_certck_using_subcommand check" -l ask-passphrase -d 'Ask for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand check" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand check" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -f -a "check" -d 'Judge CRLs by the CA that must have issued them'
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -f -a "new" -d 'Make a new CRL with what the present one revokes'
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -f -a "fetch" -d 'Download CRLs, and replace ca.crl if they are good'
complete -c certck -n "__fish_certck_using_subcommand crl; and not __fish_seen_subcommand_from check new fetch help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -l ca -d 'The certificates of the CA, PEM or DER' -r -F
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -l warn-days -d 'Warn of a nextUpdate within so many days, at most within the last third of the time from thisUpdate' -r
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l days -d 'Days until the CRL must have been renewed [default: as many as the present one had, or 90]' -r
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l to -d 'A certificate directory whose ca.crl is replaced too; may be repeated' -r -F
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l passphrase-file -d 'Take the passphrase of the private key from the first line of FILE, mode 0600 or tighter' -r -F
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l passphrase-fd -d 'Take the passphrase of the private key from the first line of descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l first -d 'There was no CRL before, and nothing is revoked: make the first one. Where the CRL was lost, copy it back instead: without it, all that it revoked is good again'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -l ask-passphrase -d 'Ask for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from new" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -l url -d 'Where the CRL is [default: the distribution points of the leaf and its intermediates]' -r
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -l timeout -d 'Time limit for the whole download, such as 10s or 2m; a bare number is seconds' -r
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -l max-bytes -d 'Maximum size of the document in bytes' -r
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -l https-ca -d 'Trust anchors for HTTPS servers, PEM [default: the system\'s]' -r -F
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -s n -l dry-run -d 'Say what would be written, and write nothing'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from fetch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from help" -f -a "check" -d 'Judge CRLs by the CA that must have issued them'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from help" -f -a "new" -d 'Make a new CRL with what the present one revokes'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from help" -f -a "fetch" -d 'Download CRLs, and replace ca.crl if they are good'
complete -c certck -n "__fish_certck_using_subcommand crl; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l from -d 'Take what no option says from a TOML file: hosts, days, ca_days, crl_days, profile, algo, name, crl_urls, ocsp_urls' -r -F
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l host -d 'Name or address of the server; may be repeated [default: localhost, 127.0.0.1, ::1]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l days -d 'Days that the server\'s and client\'s certificates are valid [default: 365]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l ca-days -d 'Days that the root is valid [default: 3650]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l crl-days -d 'Days until the revocation list must have been renewed [default: as --days]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l profile -d 'Whom it must do for: compat takes keys of 3072-bit RSA, which the oldest peers understand, strict modern ones [default: strict]' -r -f -a "compat\t'What is needed to serve safely with old and new peers; what is only unusual is a warning'
strict\t'Besides, what RFC 5280 obliges CAs to; and what is unusual is an error'"
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l algo -d 'Kind of all keys [default: ecdsa-p256, or rsa-3072 with --profile compat]' -r -f -a "ecdsa-p256\t'ECDSA on P-256, signing with SHA-256'
ecdsa-p384\t'ECDSA on P-384, signing with SHA-384'
ed25519\t'Ed25519'
rsa-3072\t'RSA of 3072 bits, signing with SHA-256: what the oldest peers take'
rsa-4096\t'RSA of 4096 bits, signing with SHA-256'"
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l name -d 'Common name of the root [default: profguard CA and six random digits, so that no two are taken for one]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l crl-url -d 'Address of the CRL, to be named in the certificates: `certck crl fetch` then needs no --url; may be repeated [default of `mint leaf`: as the authority\'s authority.toml says]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l ocsp-url -d 'Address of an OCSP responder, to be named in the certificates for `certck ocsp`; may be repeated [default of `mint leaf`: as the authority\'s authority.toml says]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l passphrase-file -d 'Take the passphrase of the private key from the first line of FILE, mode 0600 or tighter' -r -F
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l passphrase-fd -d 'Take the passphrase of the private key from the first line of descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l encrypt -d 'Encrypt all private keys with the passphrase'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -l ask-passphrase -d 'Ask for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -a "leaf" -d 'Make another server\'s or client\'s directory under an authority that is there'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -a "renew" -d 'Issue new keys and certificates in the place of those that end soon'
complete -c certck -n "__fish_certck_using_subcommand mint; and not __fish_seen_subcommand_from leaf renew help" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l role -d 'Which end of connections it is for' -r -f -a "server\t'The daemon\'s: `server.crt` and `server.key`'
client\t'The client\'s: `client.crt` and `client.key`'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l host -d 'Name or address that the certificate is good for; may be repeated, and a server needs one' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l name -d 'Common name, by which an audit tells clients apart [default: profguard server, profguard client]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l days -d 'Days that the certificate is valid' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l algo -d 'Kind of the key [default: as the authority\'s]' -r -f -a "ecdsa-p256\t'ECDSA on P-256, signing with SHA-256'
ecdsa-p384\t'ECDSA on P-384, signing with SHA-384'
ed25519\t'Ed25519'
rsa-3072\t'RSA of 3072 bits, signing with SHA-256: what the oldest peers take'
rsa-4096\t'RSA of 4096 bits, signing with SHA-256'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l crl-url -d 'Address of the CRL, to be named in the certificates: `certck crl fetch` then needs no --url; may be repeated [default of `mint leaf`: as the authority\'s authority.toml says]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l ocsp-url -d 'Address of an OCSP responder, to be named in the certificates for `certck ocsp`; may be repeated [default of `mint leaf`: as the authority\'s authority.toml says]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l csr -d 'Sign this request, PEM, so that the key stays where it is: DEST_DIR then has none. Of the request only the key is taken; names are those of the options' -r -F
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l passphrase-file -d 'Take the passphrase of the private key from the first line of FILE, mode 0600 or tighter' -r -F
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l passphrase-fd -d 'Take the passphrase of the private key from the first line of descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l encrypt -d 'Encrypt the private key with the passphrase, which opens the authority\'s key too, if that is encrypted'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -l ask-passphrase -d 'Ask for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from leaf" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l before -d 'Renew what ends within so many days [default: 30, or the last third of its validity if that is shorter]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l role -d 'Renew only those of this role' -r -f -a "server\t'The daemon\'s: `server.crt` and `server.key`'
client\t'The client\'s: `client.crt` and `client.key`'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l days -d 'Days that the new certificates are valid [default: as many as the old ones]' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l algo -d 'Kind of the new keys [default: as the old ones]' -r -f -a "ecdsa-p256\t'ECDSA on P-256, signing with SHA-256'
ecdsa-p384\t'ECDSA on P-384, signing with SHA-384'
ed25519\t'Ed25519'
rsa-3072\t'RSA of 3072 bits, signing with SHA-256: what the oldest peers take'
rsa-4096\t'RSA of 4096 bits, signing with SHA-256'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l passphrase-file -d 'Take the passphrase of the private key from the first line of FILE, mode 0600 or tighter' -r -F
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l passphrase-fd -d 'Take the passphrase of the private key from the first line of descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l all -d 'Renew whatever the time left'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l revoked -d 'Renew what is revoked, too: whoever was to be kept out comes in again with what is made'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -s n -l dry-run -d 'Say what would be renewed, and change nothing'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l encrypt -d 'Encrypt the new private keys with the passphrase [default: if the old ones are]'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l plain -d 'Leave the new private keys unencrypted, whatever the old ones are'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -l ask-passphrase -d 'Ask for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from renew" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from help" -f -a "leaf" -d 'Make another server\'s or client\'s directory under an authority that is there'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from help" -f -a "renew" -d 'Issue new keys and certificates in the place of those that end soon'
complete -c certck -n "__fish_certck_using_subcommand mint; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c certck -n "__fish_certck_using_subcommand ocsp" -l url -d 'Where to ask about the leaves [default: what each names]' -r
complete -c certck -n "__fish_certck_using_subcommand ocsp" -l issuer -d 'Certificates of issuers that are in neither PATH nor its ca.crt' -r -F
complete -c certck -n "__fish_certck_using_subcommand ocsp" -l timeout -d 'Time limit for the whole download, such as 10s or 2m; a bare number is seconds' -r
complete -c certck -n "__fish_certck_using_subcommand ocsp" -l max-bytes -d 'Maximum size of the document in bytes' -r
complete -c certck -n "__fish_certck_using_subcommand ocsp" -l https-ca -d 'Trust anchors for HTTPS servers, PEM [default: the system\'s]' -r -F
complete -c certck -n "__fish_certck_using_subcommand ocsp" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c certck -n "__fish_certck_using_subcommand ocsp" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand ocsp" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand ocsp" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand ocsp" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand probe" -l certs-dir -d 'A client\'s certificate directory' -r -F
complete -c certck -n "__fish_certck_using_subcommand probe" -l host -d 'Name that each daemon\'s certificate must be good for [default: HOST]' -r
complete -c certck -n "__fish_certck_using_subcommand probe" -l ca -d 'The directory of the CA that issued the client\'s certificate, with its ca.key: to make clients that must be refused' -r -F
complete -c certck -n "__fish_certck_using_subcommand probe" -l refused -d 'A directory whose client.crt and client.key must be refused: expired or revoked ones' -r -F
complete -c certck -n "__fish_certck_using_subcommand probe" -l timeout -d 'Time limit for each handshake, such as 5s or 500ms; a bare number is seconds' -r
complete -c certck -n "__fish_certck_using_subcommand probe" -l warn-days -d 'Warn of a validity that ends within so many days, at most within its last third' -r
complete -c certck -n "__fish_certck_using_subcommand probe" -l suppress -d 'Do not count the findings that FILE lists with a reason and an end date; a path there is HOST:PORT' -r -F
complete -c certck -n "__fish_certck_using_subcommand probe" -s o -l output -d 'Write the report to FILE, replaced in one step, instead of standard output' -r -F
complete -c certck -n "__fish_certck_using_subcommand probe" -l passphrase-file -d 'Take the passphrase of the private key from the first line of FILE, mode 0600 or tighter' -r -F
complete -c certck -n "__fish_certck_using_subcommand probe" -l passphrase-fd -d 'Take the passphrase of the private key from the first line of descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand probe" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c certck -n "__fish_certck_using_subcommand probe" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand probe" -l ask-passphrase -d 'Ask for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand probe" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand probe" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand probe" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand revoke" -l serial -d 'Serial number to revoke, in hex; may be repeated' -r
complete -c certck -n "__fish_certck_using_subcommand revoke" -l reason -d 'Why' -r -f -a "unspecified\t'Nothing is said'
key-compromise\t'The private key may be known to others'
affiliation-changed\t'Its place in the organisation changed'
superseded\t'A new certificate replaces it'
cessation-of-operation\t'It is no longer used'"
complete -c certck -n "__fish_certck_using_subcommand revoke" -l days -d 'Days until the CRL must have been renewed [default: as many as the present one had, or 90]' -r
complete -c certck -n "__fish_certck_using_subcommand revoke" -l to -d 'A certificate directory whose ca.crl is replaced too; may be repeated' -r -F
complete -c certck -n "__fish_certck_using_subcommand revoke" -l passphrase-file -d 'Take the passphrase of the private key from the first line of FILE, mode 0600 or tighter' -r -F
complete -c certck -n "__fish_certck_using_subcommand revoke" -l passphrase-fd -d 'Take the passphrase of the private key from the first line of descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand revoke" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand revoke" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand revoke" -l first -d 'There was no CRL before, and nothing is revoked: make the first one. Where the CRL was lost, copy it back instead: without it, all that it revoked is good again'
complete -c certck -n "__fish_certck_using_subcommand revoke" -l ask-passphrase -d 'Ask for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand revoke" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand revoke" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand rules" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand rules" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand rules" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand rules" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand rules" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand show" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand show" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand show" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand show" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand verify" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand verify" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand verify" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand verify" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand watch" -l files-from -d 'Take directories from FILE too, one per line; `-` is standard input' -r -F
complete -c certck -n "__fish_certck_using_subcommand watch" -l role -d 'What the directories are for' -r -f -a "auto\t'Told by the files in the directory'
server\t'A daemon\'s'
client\t'A client\'s'
ca\t'An authority\'s, with its ca.key'"
complete -c certck -n "__fish_certck_using_subcommand watch" -l host -d 'Name or address that a server\'s certificate must be good for; may be repeated' -r
complete -c certck -n "__fish_certck_using_subcommand watch" -l warn-days -d 'Warn of a validity that ends within so many days, at most within its last third' -r
complete -c certck -n "__fish_certck_using_subcommand watch" -l profile -d 'How much is demanded' -r -f -a "compat\t'What is needed to serve safely with old and new peers; what is only unusual is a warning'
strict\t'Besides, what RFC 5280 obliges CAs to; and what is unusual is an error'"
complete -c certck -n "__fish_certck_using_subcommand watch" -l owner -d 'Whose the directories must be, besides root\'s: the user whose program starts with them, by name or number [default: who runs certck; for root, who owns each directory]' -r
complete -c certck -n "__fish_certck_using_subcommand watch" -l suppress -d 'Do not count the findings that FILE lists with a reason and an end date' -r -F
complete -c certck -n "__fish_certck_using_subcommand watch" -l passphrase-file -d 'Take the passphrase of the private key from the first line of FILE, mode 0600 or tighter' -r -F
complete -c certck -n "__fish_certck_using_subcommand watch" -l passphrase-fd -d 'Take the passphrase of the private key from the first line of descriptor N' -r
complete -c certck -n "__fish_certck_using_subcommand watch" -l interval -d 'Time from one round to the next, between 1s and 24h; a bare number is seconds' -r
complete -c certck -n "__fish_certck_using_subcommand watch" -l count -d 'Rounds, after which it ends; for ever, if not given' -r
complete -c certck -n "__fish_certck_using_subcommand watch" -l prometheus -d 'Keep a Prometheus textfile up to date' -r -F
complete -c certck -n "__fish_certck_using_subcommand watch" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand watch" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand watch" -s r -l recursive -d 'Look below each DIR for every directory that holds a leaf or a leaf\'s key, by their names'
complete -c certck -n "__fish_certck_using_subcommand watch" -s 0 -l null -d 'The list is separated by NUL bytes instead of newlines'
complete -c certck -n "__fish_certck_using_subcommand watch" -l ask-passphrase -d 'Ask for the passphrase of the private key on the terminal'
complete -c certck -n "__fish_certck_using_subcommand watch" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand watch" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "check" -d 'Judge certificate directories by every rule'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "crl" -d 'Check, make and fetch certificate revocation lists'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "mint" -d 'Make a certificate authority, a server\'s and a client\'s directory'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "ocsp" -d 'Ask OCSP responders whether certificates are revoked'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "probe" -d 'Shake hands with live daemons, and judge what they do'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "revoke" -d 'Revoke certificates, and make the CRL that says so'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "rules" -d 'List the rules that directories and daemons are held to'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "show" -d 'Show what certificates, CRLs, signing requests and keys say'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "verify" -d 'Validate certificate paths given as JSON lines'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "watch" -d 'Check again and again, and report what changes'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check crl mint ocsp probe revoke rules show verify watch help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c certck -n "__fish_certck_using_subcommand help; and __fish_seen_subcommand_from crl" -f -a "check" -d 'Judge CRLs by the CA that must have issued them'
complete -c certck -n "__fish_certck_using_subcommand help; and __fish_seen_subcommand_from crl" -f -a "new" -d 'Make a new CRL with what the present one revokes'
complete -c certck -n "__fish_certck_using_subcommand help; and __fish_seen_subcommand_from crl" -f -a "fetch" -d 'Download CRLs, and replace ca.crl if they are good'
complete -c certck -n "__fish_certck_using_subcommand help; and __fish_seen_subcommand_from mint" -f -a "leaf" -d 'Make another server\'s or client\'s directory under an authority that is there'
complete -c certck -n "__fish_certck_using_subcommand help; and __fish_seen_subcommand_from mint" -f -a "renew" -d 'Issue new keys and certificates in the place of those that end soon'
