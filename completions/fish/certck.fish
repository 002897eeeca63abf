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

complete -c certck -n "__fish_certck_needs_command" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_needs_command" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_needs_command" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_needs_command" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_needs_command" -s V -l version -d 'Print version'
complete -c certck -n "__fish_certck_needs_command" -f -a "check" -d 'Judge certificate directories by every rule'
complete -c certck -n "__fish_certck_needs_command" -f -a "mint" -d 'Make a certificate authority, a server\'s and a client\'s directory'
complete -c certck -n "__fish_certck_needs_command" -f -a "verify" -d 'Validate certificate paths given as JSON lines'
complete -c certck -n "__fish_certck_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c certck -n "__fish_certck_using_subcommand check" -l role -d 'Which end the directories are for' -r -f -a "auto\t'Told by the files in the directory'
server\t'A daemon\'s'
client\t'A client\'s'"
complete -c certck -n "__fish_certck_using_subcommand check" -l host -d 'Name or address that a server\'s certificate must be good for; may be repeated' -r
complete -c certck -n "__fish_certck_using_subcommand check" -l at -d 'The time to judge for instead of now: RFC 3339, or seconds since 1970' -r
complete -c certck -n "__fish_certck_using_subcommand check" -l warn-days -d 'Warn of a validity that ends within so many days' -r
complete -c certck -n "__fish_certck_using_subcommand check" -l profile -d 'How much is demanded' -r -f -a "compat\t'What is needed to serve safely with old and new peers; what is only unusual is a warning'
strict\t'Besides, what RFC 5280 obliges CAs to; and what is unusual is an error'"
complete -c certck -n "__fish_certck_using_subcommand check" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand check" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand check" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand check" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand mint" -l host -d 'Name or address of the server [default: localhost, 127.0.0.1, ::1]' -r
complete -c certck -n "__fish_certck_using_subcommand mint" -l days -d 'Days that the server\'s and client\'s certificates are valid' -r
complete -c certck -n "__fish_certck_using_subcommand mint" -l ca-days -d 'Days that the root is valid' -r
complete -c certck -n "__fish_certck_using_subcommand mint" -l crl-days -d 'Days until the revocation list must have been renewed [default: as --days]' -r
complete -c certck -n "__fish_certck_using_subcommand mint" -l algo -d 'Kind of all keys' -r -f -a "ecdsa-p256\t'ECDSA on P-256, signing with SHA-256'
ecdsa-p384\t'ECDSA on P-384, signing with SHA-384'
ed25519\t'Ed25519'
rsa-3072\t'RSA of 3072 bits, signing with SHA-256: what the oldest peers take'
rsa-4096\t'RSA of 4096 bits, signing with SHA-256'"
complete -c certck -n "__fish_certck_using_subcommand mint" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand mint" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand mint" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand mint" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand mint" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand verify" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c certck -n "__fish_certck_using_subcommand verify" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c certck -n "__fish_certck_using_subcommand verify" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c certck -n "__fish_certck_using_subcommand verify" -s v -l verbose -d 'Say on standard error what is being done'
complete -c certck -n "__fish_certck_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check mint verify help" -f -a "check" -d 'Judge certificate directories by every rule'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check mint verify help" -f -a "mint" -d 'Make a certificate authority, a server\'s and a client\'s directory'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check mint verify help" -f -a "verify" -d 'Validate certificate paths given as JSON lines'
complete -c certck -n "__fish_certck_using_subcommand help; and not __fish_seen_subcommand_from check mint verify help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
