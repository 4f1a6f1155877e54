# bash completion for portolan(8) and portolan-wrapper(8)

# Asks the running master, at the socket or configuration that the line names; silent without one.
_portolan_ask() {
    timeout 2 portolan "$@" "${where[@]}" 2>/dev/null
}

_portolan_backends() {
    _portolan_ask show backend | grep -v '^#'
}

_portolan_servers() {
    _portolan_ask show servers state | while read -r _ backend _ server _; do
        [[ $backend == be_name || -z $server ]] || echo "$backend/$server"
    done
}

# What may follow these words of a command.
_portolan_next() {
    case $* in
    '') echo 'reload init schema demo show get set enable disable shutdown' ;;
    show) echo 'version info proc sandbox tasks activity fd sess listeners pools captures backend servers' ;;
    'show tasks' | 'show activity' | 'show fd' | 'show sess' | 'show listeners' | 'show pools') echo worker ;;
    'show servers') echo 'state conn' ;;
    'show servers state' | 'show servers conn') _portolan_backends ;;
    get) echo weight ;;
    set) echo 'weight server maxconn' ;;
    'set maxconn') echo server ;;
    'get weight' | 'set weight' | 'set server' | 'set maxconn server') _portolan_servers ;;
    'set server '*' state') echo 'ready drain maint' ;;
    'set server '*' health') echo 'up stopping down' ;;
    'set server '*' agent') echo 'up down' ;;
    'set server '*' weight' | 'set server '*' maxconn') ;;
    'set server '*) echo 'weight state health agent maxconn' ;;
    enable | disable) echo 'server health agent' ;;
    'enable '* | 'disable '*) _portolan_servers ;;
    shutdown) echo sessions ;;
    'shutdown sessions') echo server ;;
    'shutdown sessions server') _portolan_servers ;;
    esac
}

_portolan() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local options='-f --file -C --directory -c --check -dW -W -Ws -D --daemon -Ds -d --debug -db --foreground
        -p --pidfile -S --socket -sf -st -n --maxconn -N -de -dk -dp -ds -dS -q --quiet -V --verbose
        -v --version -vv -h --help'
    local words=() where=() at
    COMPREPLY=()
    for ((at = 1; at < COMP_CWORD; at++)); do
        case ${COMP_WORDS[at]} in
        -f | --file | -S | --socket) where+=("${COMP_WORDS[at]}" "${COMP_WORDS[at + 1]}") && ((at++)) ;;
        -C | --directory | -p | --pidfile | -n | --maxconn | -N | --listen | --server | --mode) ((at++)) ;;
        -*) ;;
        *) words+=("${COMP_WORDS[at]}") ;;
        esac
    done
    case $prev in
    -f | --file | -S | --socket | -p | --pidfile | --)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    -C | --directory)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    --mode)
        mapfile -t COMPREPLY < <(compgen -W 'http tcp' -- "$cur")
        return
        ;;
    -sf | -st)
        mapfile -t COMPREPLY < <(compgen -W "$(pgrep -x 'portolan|portolan-wrapp' 2>/dev/null)" -- "$cur")
        return
        ;;
    -n | --maxconn | -N | --listen | --server) return ;;
    esac
    [[ ${words[0]} == init ]] && options='--listen --server --mode --part --print'
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    elif [[ ${words[*]} == init ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    elif [[ ${COMP_WORDS[0]##*/} == portolan ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_portolan_next "${words[@]}")" -- "$cur")
    fi
}

complete -F _portolan portolan portolan-wrapper
