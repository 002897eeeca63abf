# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_datack_global_optspecs
    string join \n format= color= q/quiet v/verbose h/help V/version
end

function __fish_datack_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_datack_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_datack_using_subcommand
    set -l cmd (__fish_datack_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c datack -n "__fish_datack_needs_command" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c datack -n "__fish_datack_needs_command" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c datack -n "__fish_datack_needs_command" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c datack -n "__fish_datack_needs_command" -s v -l verbose -d 'Say on standard error what is being done'
complete -c datack -n "__fish_datack_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c datack -n "__fish_datack_needs_command" -s V -l version -d 'Print version'
complete -c datack -n "__fish_datack_needs_command" -f -a "manifest" -d 'Create and verify SHA-256 manifests of model weights and other inputs'
complete -c datack -n "__fish_datack_needs_command" -f -a "clean" -d 'Delete generated traces and logs by age and by total size, oldest first'
complete -c datack -n "__fish_datack_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c datack -n "__fish_datack_using_subcommand manifest; and not __fish_seen_subcommand_from create verify help" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c datack -n "__fish_datack_using_subcommand manifest; and not __fish_seen_subcommand_from create verify help" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c datack -n "__fish_datack_using_subcommand manifest; and not __fish_seen_subcommand_from create verify help" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c datack -n "__fish_datack_using_subcommand manifest; and not __fish_seen_subcommand_from create verify help" -s v -l verbose -d 'Say on standard error what is being done'
complete -c datack -n "__fish_datack_using_subcommand manifest; and not __fish_seen_subcommand_from create verify help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c datack -n "__fish_datack_using_subcommand manifest; and not __fish_seen_subcommand_from create verify help" -f -a "create" -d 'Hash every regular file below the paths'
complete -c datack -n "__fish_datack_using_subcommand manifest; and not __fish_seen_subcommand_from create verify help" -f -a "verify" -d 'Compare files with a manifest'
complete -c datack -n "__fish_datack_using_subcommand manifest; and not __fish_seen_subcommand_from create verify help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from create" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from create" -s o -l output -d 'Write the manifest to FILE, replaced in one step, instead of standard output' -r -F
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from create" -l sign -d 'Sign the manifest with an Ed25519 private key (PEM, PKCS#8) and write the signature to FILE.sig' -r -F
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from create" -s C -l directory -d 'Names of files are relative to DIR; paths in options are not' -r -F
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from create" -l threads -d 'Number of files to hash at the same time [default: one per processor]' -r
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from create" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from create" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from create" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from create" -l resume -d 'Continue an interrupted run: files that have not changed since are not read again'
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from create" -l follow -d 'Follow symbolic links below each PATH'
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from create" -s v -l verbose -d 'Say on standard error what is being done'
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from verify" -s m -l manifest -d 'The manifest: lines of sha256sum, or JSON lines; `-` is standard input' -r -F
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from verify" -l key -d 'Verify the signature FILE.sig of the manifest with an Ed25519 public key (PEM)' -r -F
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from verify" -s C -l directory -d 'Names of files are relative to DIR; paths in options are not' -r -F
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from verify" -l threads -d 'Number of files to hash at the same time [default: one per processor]' -r
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from verify" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from verify" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from verify" -l follow -d 'Follow symbolic links below each PATH'
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from verify" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from verify" -s v -l verbose -d 'Say on standard error what is being done'
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from help" -f -a "create" -d 'Hash every regular file below the paths'
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from help" -f -a "verify" -d 'Compare files with a manifest'
complete -c datack -n "__fish_datack_using_subcommand manifest; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c datack -n "__fish_datack_using_subcommand clean" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c datack -n "__fish_datack_using_subcommand clean" -l older-than -d 'Delete files that were modified longer ago than this: `90s`, `30m`, `12h`, `14d`' -r
complete -c datack -n "__fish_datack_using_subcommand clean" -l keep -d 'Delete the oldest files until the rest takes at most this size: `50GiB`, `10GB`, or bytes' -r
complete -c datack -n "__fish_datack_using_subcommand clean" -l match -d 'Delete files that match PATTERN, relative to each PATH [default: generated traces and logs]' -r
complete -c datack -n "__fish_datack_using_subcommand clean" -l idle -d 'Keep files that were modified less than this ago' -r
complete -c datack -n "__fish_datack_using_subcommand clean" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c datack -n "__fish_datack_using_subcommand clean" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c datack -n "__fish_datack_using_subcommand clean" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c datack -n "__fish_datack_using_subcommand clean" -l prune -d 'Also delete directories that become empty'
complete -c datack -n "__fish_datack_using_subcommand clean" -s n -l dry-run -d 'Show what would be deleted, and delete nothing'
complete -c datack -n "__fish_datack_using_subcommand clean" -l system -d 'Allow /, the directories directly below it, and system paths'
complete -c datack -n "__fish_datack_using_subcommand clean" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c datack -n "__fish_datack_using_subcommand clean" -s v -l verbose -d 'Say on standard error what is being done'
complete -c datack -n "__fish_datack_using_subcommand clean" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c datack -n "__fish_datack_using_subcommand help; and not __fish_seen_subcommand_from manifest clean help" -f -a "manifest" -d 'Create and verify SHA-256 manifests of model weights and other inputs'
complete -c datack -n "__fish_datack_using_subcommand help; and not __fish_seen_subcommand_from manifest clean help" -f -a "clean" -d 'Delete generated traces and logs by age and by total size, oldest first'
complete -c datack -n "__fish_datack_using_subcommand help; and not __fish_seen_subcommand_from manifest clean help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c datack -n "__fish_datack_using_subcommand help; and __fish_seen_subcommand_from manifest" -f -a "create" -d 'Hash every regular file below the paths'
complete -c datack -n "__fish_datack_using_subcommand help; and __fish_seen_subcommand_from manifest" -f -a "verify" -d 'Compare files with a manifest'
