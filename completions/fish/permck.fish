# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_permck_global_optspecs
    string join \n format= color= q/quiet v/verbose h/help V/version
end

function __fish_permck_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_permck_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_permck_using_subcommand
    set -l cmd (__fish_permck_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c permck -n "__fish_permck_needs_command" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c permck -n "__fish_permck_needs_command" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_needs_command" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_needs_command" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_needs_command" -s V -l version -d 'Print version'
complete -c permck -n "__fish_permck_needs_command" -f -a "audit" -d 'Check every entry of trees against the class that it belongs to'
complete -c permck -n "__fish_permck_needs_command" -f -a "fix" -d 'Fix findings of an audit by removing permissions, and record each change'
complete -c permck -n "__fish_permck_needs_command" -f -a "undo" -d 'Undo the changes of `permck fix`'
complete -c permck -n "__fish_permck_needs_command" -f -a "baseline" -d 'Record the findings of an audit, so that later audits report only new ones'
complete -c permck -n "__fish_permck_needs_command" -f -a "rules" -d 'List the rules of audits, or explain some of them'
complete -c permck -n "__fish_permck_needs_command" -f -a "policy" -d 'Check a policy file, or show what policies say'
complete -c permck -n "__fish_permck_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c permck -n "__fish_permck_using_subcommand audit" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c permck -n "__fish_permck_using_subcommand audit" -l owner -d 'Allowed owner of entries besides root: a user name or id [default: from the policy, or the owner of each PATH]' -r
complete -c permck -n "__fish_permck_using_subcommand audit" -l policy -d 'Policy file; its rows take precedence over those of profiles' -r -F
complete -c permck -n "__fish_permck_using_subcommand audit" -l profile -d 'Built-in policy to apply' -r -f -a "profguard\t'an installation of these tools'
msmonitor\t'an installation of msMonitor'
certs\t'a certificate directory'
ascend\t'an output tree of the Ascend profiler'
cann\t'a CANN toolkit owned by the unprivileged user who runs the tools'"
complete -c permck -n "__fish_permck_using_subcommand audit" -l rule -d 'Apply only this rule; may be repeated' -r -f -a "key-readable\t''
world-writable\t''
group-writable\t''
special-bits\t''
capability\t''
acl\t''
mode\t''
owner\t''
group\t''
unowned\t''
hard-link\t''
device\t''
acl-default\t''
stray-key\t''
link-dangling\t''
link-outside\t''
name\t''
unreadable\t''
socket\t''
fifo\t''
immutable\t''
ancestor\t''
mount-options\t''
mounts\t''
changed\t''"
complete -c permck -n "__fish_permck_using_subcommand audit" -l ignore -d 'Do not apply this rule; may be repeated' -r -f -a "key-readable\t''
world-writable\t''
group-writable\t''
special-bits\t''
capability\t''
acl\t''
mode\t''
owner\t''
group\t''
unowned\t''
hard-link\t''
device\t''
acl-default\t''
stray-key\t''
link-dangling\t''
link-outside\t''
name\t''
unreadable\t''
socket\t''
fifo\t''
immutable\t''
ancestor\t''
mount-options\t''
mounts\t''
changed\t''"
complete -c permck -n "__fish_permck_using_subcommand audit" -l exclude -d 'Leave out entries that match PATTERN, and everything below them' -r
complete -c permck -n "__fish_permck_using_subcommand audit" -l root -d 'Audit the image below DIR: each PATH is one of the image, and so are its accounts, packages and links' -r -F
complete -c permck -n "__fish_permck_using_subcommand audit" -l threads -d 'Number of threads [default: one per processor]' -r
complete -c permck -n "__fish_permck_using_subcommand audit" -l baseline -d 'Report only findings that are not in FILE, written by `permck baseline`' -r -F
complete -c permck -n "__fish_permck_using_subcommand audit" -s o -l output -d 'Write the report to FILE instead of standard output' -r -F
complete -c permck -n "__fish_permck_using_subcommand audit" -l fail-on -d 'Lowest severity that makes the exit status 1, or that is critical with --format nagios' -r -f -a "note\t'Worth knowing; not necessarily wrong'
warning\t'Allowed, and probably not meant'
error\t'Must be fixed'"
complete -c permck -n "__fish_permck_using_subcommand audit" -l show -d 'Lowest severity to print; findings that --fail-on counts are always printed' -r -f -a "note\t'Worth knowing; not necessarily wrong'
warning\t'Allowed, and probably not meant'
error\t'Must be fixed'"
complete -c permck -n "__fish_permck_using_subcommand audit" -l limit -d 'Maximum number of findings to print per cause in text; 0 prints all [default: 20 errors, 3 warnings or notes]' -r
complete -c permck -n "__fish_permck_using_subcommand audit" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c permck -n "__fish_permck_using_subcommand audit" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand audit" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c permck -n "__fish_permck_using_subcommand audit" -l strict -d 'Give every finding the severity of its rule, and every mode the maximum of its class, as the table has it'
complete -c permck -n "__fish_permck_using_subcommand audit" -l no-content -d 'Do not read files: classify by name only, and do not search for private keys'
complete -c permck -n "__fish_permck_using_subcommand audit" -l cross-mounts -d 'Enter mounts below a PATH'
complete -c permck -n "__fish_permck_using_subcommand audit" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand audit" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand fix" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c permck -n "__fish_permck_using_subcommand fix" -l owner -d 'Allowed owner of entries besides root: a user name or id [default: from the policy, or the owner of each PATH]' -r
complete -c permck -n "__fish_permck_using_subcommand fix" -l policy -d 'Policy file; its rows take precedence over those of profiles' -r -F
complete -c permck -n "__fish_permck_using_subcommand fix" -l profile -d 'Built-in policy to apply' -r -f -a "profguard\t'an installation of these tools'
msmonitor\t'an installation of msMonitor'
certs\t'a certificate directory'
ascend\t'an output tree of the Ascend profiler'
cann\t'a CANN toolkit owned by the unprivileged user who runs the tools'"
complete -c permck -n "__fish_permck_using_subcommand fix" -l rule -d 'Apply only this rule; may be repeated' -r -f -a "key-readable\t''
world-writable\t''
group-writable\t''
special-bits\t''
capability\t''
acl\t''
mode\t''
owner\t''
group\t''
unowned\t''
hard-link\t''
device\t''
acl-default\t''
stray-key\t''
link-dangling\t''
link-outside\t''
name\t''
unreadable\t''
socket\t''
fifo\t''
immutable\t''
ancestor\t''
mount-options\t''
mounts\t''
changed\t''"
complete -c permck -n "__fish_permck_using_subcommand fix" -l ignore -d 'Do not apply this rule; may be repeated' -r -f -a "key-readable\t''
world-writable\t''
group-writable\t''
special-bits\t''
capability\t''
acl\t''
mode\t''
owner\t''
group\t''
unowned\t''
hard-link\t''
device\t''
acl-default\t''
stray-key\t''
link-dangling\t''
link-outside\t''
name\t''
unreadable\t''
socket\t''
fifo\t''
immutable\t''
ancestor\t''
mount-options\t''
mounts\t''
changed\t''"
complete -c permck -n "__fish_permck_using_subcommand fix" -l exclude -d 'Leave out entries that match PATTERN, and everything below them' -r
complete -c permck -n "__fish_permck_using_subcommand fix" -l root -d 'Audit the image below DIR: each PATH is one of the image, and so are its accounts, packages and links' -r -F
complete -c permck -n "__fish_permck_using_subcommand fix" -l threads -d 'Number of threads [default: one per processor]' -r
complete -c permck -n "__fish_permck_using_subcommand fix" -l record -d 'Record changes in FILE, for `permck undo` [default: permck-fix-TIME.jsonl]' -r -F
complete -c permck -n "__fish_permck_using_subcommand fix" -l umask -d 'Remove only the permissions of this umask, such as 027 [default: 077; with --strict, all that the policy table does not allow]' -r
complete -c permck -n "__fish_permck_using_subcommand fix" -l lock-out -d 'Account of a service that may lose access, or `all`; root only' -r
complete -c permck -n "__fish_permck_using_subcommand fix" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c permck -n "__fish_permck_using_subcommand fix" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand fix" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c permck -n "__fish_permck_using_subcommand fix" -l strict -d 'Give every finding the severity of its rule, and every mode the maximum of its class, as the table has it'
complete -c permck -n "__fish_permck_using_subcommand fix" -l no-content -d 'Do not read files: classify by name only, and do not search for private keys'
complete -c permck -n "__fish_permck_using_subcommand fix" -l cross-mounts -d 'Enter mounts below a PATH'
complete -c permck -n "__fish_permck_using_subcommand fix" -s n -l dry-run -d 'Show what would be changed, and change nothing'
complete -c permck -n "__fish_permck_using_subcommand fix" -l system -d 'Allow system paths'
complete -c permck -n "__fish_permck_using_subcommand fix" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand fix" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand fix" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand undo" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c permck -n "__fish_permck_using_subcommand undo" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand undo" -s n -l dry-run -d 'Show what would be undone, and change nothing'
complete -c permck -n "__fish_permck_using_subcommand undo" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand undo" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand undo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand baseline" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c permck -n "__fish_permck_using_subcommand baseline" -l owner -d 'Allowed owner of entries besides root: a user name or id [default: from the policy, or the owner of each PATH]' -r
complete -c permck -n "__fish_permck_using_subcommand baseline" -l policy -d 'Policy file; its rows take precedence over those of profiles' -r -F
complete -c permck -n "__fish_permck_using_subcommand baseline" -l profile -d 'Built-in policy to apply' -r -f -a "profguard\t'an installation of these tools'
msmonitor\t'an installation of msMonitor'
certs\t'a certificate directory'
ascend\t'an output tree of the Ascend profiler'
cann\t'a CANN toolkit owned by the unprivileged user who runs the tools'"
complete -c permck -n "__fish_permck_using_subcommand baseline" -l rule -d 'Apply only this rule; may be repeated' -r -f -a "key-readable\t''
world-writable\t''
group-writable\t''
special-bits\t''
capability\t''
acl\t''
mode\t''
owner\t''
group\t''
unowned\t''
hard-link\t''
device\t''
acl-default\t''
stray-key\t''
link-dangling\t''
link-outside\t''
name\t''
unreadable\t''
socket\t''
fifo\t''
immutable\t''
ancestor\t''
mount-options\t''
mounts\t''
changed\t''"
complete -c permck -n "__fish_permck_using_subcommand baseline" -l ignore -d 'Do not apply this rule; may be repeated' -r -f -a "key-readable\t''
world-writable\t''
group-writable\t''
special-bits\t''
capability\t''
acl\t''
mode\t''
owner\t''
group\t''
unowned\t''
hard-link\t''
device\t''
acl-default\t''
stray-key\t''
link-dangling\t''
link-outside\t''
name\t''
unreadable\t''
socket\t''
fifo\t''
immutable\t''
ancestor\t''
mount-options\t''
mounts\t''
changed\t''"
complete -c permck -n "__fish_permck_using_subcommand baseline" -l exclude -d 'Leave out entries that match PATTERN, and everything below them' -r
complete -c permck -n "__fish_permck_using_subcommand baseline" -l root -d 'Audit the image below DIR: each PATH is one of the image, and so are its accounts, packages and links' -r -F
complete -c permck -n "__fish_permck_using_subcommand baseline" -l threads -d 'Number of threads [default: one per processor]' -r
complete -c permck -n "__fish_permck_using_subcommand baseline" -s o -l output -d 'The baseline to write; an existing file is replaced in one step' -r -F
complete -c permck -n "__fish_permck_using_subcommand baseline" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c permck -n "__fish_permck_using_subcommand baseline" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand baseline" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c permck -n "__fish_permck_using_subcommand baseline" -l strict -d 'Give every finding the severity of its rule, and every mode the maximum of its class, as the table has it'
complete -c permck -n "__fish_permck_using_subcommand baseline" -l no-content -d 'Do not read files: classify by name only, and do not search for private keys'
complete -c permck -n "__fish_permck_using_subcommand baseline" -l cross-mounts -d 'Enter mounts below a PATH'
complete -c permck -n "__fish_permck_using_subcommand baseline" -l entries -d 'Record type, mode, owner and group of every entry, too: audits then report every entry that is new or changed, also within what its class allows'
complete -c permck -n "__fish_permck_using_subcommand baseline" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand baseline" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand baseline" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand rules" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c permck -n "__fish_permck_using_subcommand rules" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand rules" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand rules" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand rules" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand policy; and not __fish_seen_subcommand_from check show help" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c permck -n "__fish_permck_using_subcommand policy; and not __fish_seen_subcommand_from check show help" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand policy; and not __fish_seen_subcommand_from check show help" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand policy; and not __fish_seen_subcommand_from check show help" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand policy; and not __fish_seen_subcommand_from check show help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand policy; and not __fish_seen_subcommand_from check show help" -f -a "check" -d 'Check policy files: syntax, classes, accounts, patterns and dates'
complete -c permck -n "__fish_permck_using_subcommand policy; and not __fish_seen_subcommand_from check show help" -f -a "show" -d 'Show the rows and exceptions of policies in the order in which they are tried'
complete -c permck -n "__fish_permck_using_subcommand policy; and not __fish_seen_subcommand_from check show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from check" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from check" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from show" -l policy -d 'Policy file; its rows take precedence over those of profiles' -r -F
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from show" -l profile -d 'Built-in policy' -r -f -a "profguard\t''
msmonitor\t''
certs\t''
ascend\t''
cann\t''"
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from show" -l path -d 'Show the row that decides about this path, relative to the audited one; a directory ends in a slash' -r
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from show" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from show" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check policy files: syntax, classes, accounts, patterns and dates'
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show the rows and exceptions of policies in the order in which they are tried'
complete -c permck -n "__fish_permck_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline rules policy help" -f -a "audit" -d 'Check every entry of trees against the class that it belongs to'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline rules policy help" -f -a "fix" -d 'Fix findings of an audit by removing permissions, and record each change'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline rules policy help" -f -a "undo" -d 'Undo the changes of `permck fix`'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline rules policy help" -f -a "baseline" -d 'Record the findings of an audit, so that later audits report only new ones'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline rules policy help" -f -a "rules" -d 'List the rules of audits, or explain some of them'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline rules policy help" -f -a "policy" -d 'Check a policy file, or show what policies say'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline rules policy help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c permck -n "__fish_permck_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "check" -d 'Check policy files: syntax, classes, accounts, patterns and dates'
complete -c permck -n "__fish_permck_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "show" -d 'Show the rows and exceptions of policies in the order in which they are tried'
