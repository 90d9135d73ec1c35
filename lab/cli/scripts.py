"""The scripts with which a shell asks `lab _complete` at TAB."""

from lab.errors import UserError, nearest

BASH = r"""# Completion of lab for bash: eval "$(lab completion bash)", here or in ~/.bashrc
_lab() {
    local line=${COMP_LINE:0:COMP_POINT} words found code word cut
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    found=$("$1" _complete "${words[@]:1}" 2> /dev/null)
    code=$?
    COMPREPLY=()
    [[ -n $found ]] && mapfile -t COMPREPLY <<< "$found"
    (( code == 3 )) && compopt -o default
    # A key or the begin of a recipe goes on after TAB: no space.
    [[ ${COMPREPLY[0]} == *[=.] || ${words[-1]} == *=* ]] && compopt -o nospace
    # Bash completes from the last '=' or ':' on, and wants only that back.
    word=${words[-1]}
    for cut in = :; do
        if [[ $COMP_WORDBREAKS == *"$cut"* && $word == *"$cut"* ]]; then
            COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*"$cut"}"}"}")
            word=${word##*"$cut"}
        fi
    done
}
complete -F _lab lab
"""

ZSH = r"""#compdef lab
# Completion of lab for zsh: eval "$(lab completion zsh)", after compinit, here or in ~/.zshrc
_lab() {
    local -a found
    local answer code
    answer=$("${words[1]}" _complete "${(@)words[2,CURRENT]}" 2> /dev/null)
    code=$?
    found=("${(@f)answer}")
    if [[ -n $answer ]]; then
        # A key or the begin of a recipe goes on after TAB: no space.
        if [[ ${found[1]} == *[=.] || ${words[CURRENT]} == *=* ]]; then
            compadd -Q -S '' -a found
        else
            compadd -Q -a found
        fi
    elif (( code == 3 )); then
        compset -P '*='
        _files
    fi
}
compdef _lab lab
"""

FISH = r"""# Completion of lab for fish: lab completion fish | source, here or in ~/.config/fish/config.fish
function __lab_complete
    set -l words (commandline -opc)
    $words[1] _complete $words[2..-1] (commandline -ct) 2> /dev/null
end
complete -c lab -f -a '(__lab_complete)'
complete -c lab -n '__fish_seen_subcommand_from compare board' -F
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def script(shell: str) -> str:
    """What `shell` evaluates to ask `lab _complete` at TAB.

    argcomplete 3.7.2 was tried in bash 5.2 and zsh 5.9. It copes with `=`, `,` and `:`, but types a space after
    whatever ends otherwise than with `=`, `/` or `:`, so after `model.` and `model.block=conv-act`, which go on; its
    import alone takes 25 to 55 ms a TAB; and the flags of `lab train` are in no parser of ours, but in Hydra's.
    """
    if shell not in SCRIPTS:
        raise UserError(f"completion {shell}: no such shell{nearest(shell, SCRIPTS)}; there are: {', '.join(SCRIPTS)}")
    return SCRIPTS[shell]
