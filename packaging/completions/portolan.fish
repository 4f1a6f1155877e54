# fish completion for portolan(8) and portolan-wrapper(8)

# The words of the command so far, without options and what follows them.
function __portolan_words
    set -l words
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case -f --file -S --socket -C --directory -p --pidfile -n --maxconn -N --listen --server --mode
                set skip 1
            case '-*'
            case '*'
                set -a words $word
        end
    end
    string join ' ' -- $words
end

# Whether the command so far is one of these.
function __portolan_at
    set -l words (__portolan_words)
    test -z "$words"; and set words ''
    for pattern in $argv
        string match -q -- $pattern "$words"; and return 0
    end
    return 1
end

# Asks the running master, at the socket or configuration that the line names; silent without one.
function __portolan_ask
    set -l where
    set -l line (commandline -opc)
    for at in (seq (count $line))
        if contains -- $line[$at] -S --socket -f --file; and test $at -lt (count $line)
            set -a where $line[$at] $line[(math $at + 1)]
        end
    end
    timeout 2 portolan $argv $where 2>/dev/null
end

function __portolan_backends
    __portolan_ask show backend | string match -v '#*'
end

function __portolan_servers
    __portolan_ask show servers state | while read -l _id backend _number server _rest
        test -n "$server"; and test "$backend" != be_name; and echo $backend/$server
    end
end

for program in portolan portolan-wrapper
    complete -c $program -f
    complete -c $program -s f -l file -r -F -d 'Read this file, or every *.toml of this directory'
    complete -c $program -s C -l directory -x -a '(__fish_complete_directories)' -d 'Change to this directory first'
    complete -c $program -s c -l check -d 'Only check the configuration'
    complete -c $program -o dW -d 'Treat warnings as errors'
    complete -c $program -s W -d 'Under the wrapper, in the foreground'
    complete -c $program -o Ws -d 'The same, reporting to systemd'
    complete -c $program -s D -l daemon -d 'Under the wrapper, in the background'
    complete -c $program -o Ds -d 'Under the wrapper, in the foreground for another supervisor'
    complete -c $program -s d -l debug -d 'Without the wrapper, talkative'
    complete -c $program -o db -l foreground -d 'Without the wrapper, in the foreground'
    complete -c $program -s p -l pidfile -r -F -d 'Write the pid to signal to this file'
    complete -c $program -s S -l socket -r -F -d 'The control socket'
    complete -c $program -o sf -x -a '(__fish_complete_pids)' -d 'Soft-stop these processes once the new ones serve'
    complete -c $program -o st -x -a '(__fish_complete_pids)' -d 'Terminate these processes once the new ones serve'
    complete -c $program -s n -l maxconn -x -d 'Most connections at once'
    complete -c $program -s N -x -d 'Most connections of a frontend that sets no maxconn'
    complete -c $program -o de -d 'Do not use the poller epoll'
    complete -c $program -o dk -d 'Do not use the poller polling'
    complete -c $program -o dp -d 'Do not use the poller poll'
    complete -c $program -o ds -d 'Do not use the poller select'
    complete -c $program -o dS -d 'Do not use splice'
    complete -c $program -s q -l quiet -d 'Print errors only, or nothing with -c'
    complete -c $program -s V -l verbose -d 'Say so when the configuration is valid'
    complete -c $program -s v -l version -d 'Print the version'
    complete -c $program -o vv -d 'Print the version and the pollers'
    complete -c $program -s h -l help -d 'Print a short help'
end

complete -c portolan -n '__portolan_at "init*"' -l listen -x -d 'Where clients come to'
complete -c portolan -n '__portolan_at "init*"' -l server -x -d 'A server to send them to'
complete -c portolan -n '__portolan_at "init*"' -l mode -x -a 'http tcp' -d 'What is spoken'
complete -c portolan -n '__portolan_at "init*"' -l part -d 'Only a frontend and a backend'
complete -c portolan -n '__portolan_at "init*"' -l print -d 'Print it instead of writing a file'

complete -c portolan -n '__portolan_at ""' -a 'reload init schema demo show get set enable disable shutdown'
complete -c portolan -n '__portolan_at init' -F
complete -c portolan -n '__portolan_at show' -a 'version info proc sandbox tasks activity fd sess listeners pools captures backend servers'
complete -c portolan -n '__portolan_at "show tasks" "show activity" "show fd" "show sess" "show listeners" "show pools"' -a worker
complete -c portolan -n '__portolan_at "show servers"' -a 'state conn'
complete -c portolan -n '__portolan_at "show servers state" "show servers conn"' -a '(__portolan_backends)'
complete -c portolan -n '__portolan_at get' -a weight
complete -c portolan -n '__portolan_at set' -a 'weight server maxconn'
complete -c portolan -n '__portolan_at "set maxconn"' -a server
complete -c portolan -n '__portolan_at "get weight" "set weight" "set server" "set maxconn server"' -a '(__portolan_servers)'
complete -c portolan -n '__portolan_at "set server */*"; and not __portolan_at "set server * *"' -a 'weight state health agent maxconn'
complete -c portolan -n '__portolan_at "set server * state"' -a 'ready drain maint'
complete -c portolan -n '__portolan_at "set server * health"' -a 'up stopping down'
complete -c portolan -n '__portolan_at "set server * agent"' -a 'up down'
complete -c portolan -n '__portolan_at enable disable' -a 'server health agent'
complete -c portolan -n '__portolan_at "enable server" "enable health" "enable agent" "disable server" "disable health" "disable agent"' -a '(__portolan_servers)'
complete -c portolan -n '__portolan_at shutdown' -a sessions
complete -c portolan -n '__portolan_at "shutdown sessions"' -a server
complete -c portolan -n '__portolan_at "shutdown sessions server"' -a '(__portolan_servers)'
