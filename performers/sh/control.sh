# The control channel of a worker-manager, for any POSIX sh script that it starts. Needs `mktemp` and a `sleep` that takes
# fractions.
#
#   . ./control.sh
#   control_begin
#   while next_step; do
#     control_checkpoint || exit 1    # waits while paused; fails when the script is to end
#     do_step
#   done
#
# A script that no manager has started may call all of it: nothing happens. A reader in the background hears what the manager
# says; it ends with the script (control_end, or EXIT).

control_begin() {
  CONTROL_DIRECTORY=
  [ -n "${CONVEYOR_CONTROL_FD-}" ] || return 0
  if [ "$CONVEYOR_CONTROL_FD" != 3 ]; then
    echo "CONVEYOR_CONTROL_FD=$CONVEYOR_CONTROL_FD: this script takes descriptor 3 only" >&2
    return 1
  fi
  unset CONVEYOR_CONTROL_FD LISTEN_FDS
  CONTROL_DIRECTORY=$(mktemp -d) || return 1
  trap control_end EXIT
  control_say '{"type":"hello","version":1,"codec":"json","pid":%d,"name":"%s","kind":"sh"}\n' "$$" "${0##*/}"
  (trap - EXIT; control_hear) &
  CONTROL_READER=$!
}

# Waits while the manager wants a pause. Fails when the script is to end, or the manager is gone.
control_checkpoint() {
  [ -n "$CONTROL_DIRECTORY" ] || return 0
  while [ -e "$CONTROL_DIRECTORY/pause" ] && [ ! -e "$CONTROL_DIRECTORY/terminate" ]; do
    control_settle paused "$CONTROL_DIRECTORY/pause"
    sleep 0.1
  done
  control_settle resumed "$CONTROL_DIRECTORY/resume"
  [ ! -e "$CONTROL_DIRECTORY/terminate" ]
}

# control_job_started HANDLE FUNCTION: plain texts, without quotes and backslashes.
control_job_started() {
  [ -z "$CONTROL_DIRECTORY" ] || control_say '{"type":"job_started","handle":"%s","function":"%s"}\n' "$1" "$2"
}

# control_job_ended HANDLE true|false MILLISECONDS
control_job_ended() {
  [ -z "$CONTROL_DIRECTORY" ] || control_say '{"type":"job_ended","handle":"%s","ok":%s,"ms":%d}\n' "$1" "$2" "$3"
}

# A manager that is gone is no reason to be killed.
control_say() {
  (trap '' PIPE; printf "$@" >&3) 2> /dev/null || :
}

control_end() {
  [ -n "$CONTROL_DIRECTORY" ] || return 0
  kill "$CONTROL_READER" 2> /dev/null
  rm -rf "$CONTROL_DIRECTORY"
  CONTROL_DIRECTORY=
}

# control_settle WORD FILE: says once that what the file asks for was done.
control_settle() {
  [ -s "$2" ] || return 0
  control_say '{"type":"%s","sequence":%d}\n' "$1" "$(cat "$2")"
  : > "$2"
}

# Reads orders until the manager is gone.
control_hear() {
  control_newest=0
  while IFS= read -r control_line <&3; do
    control_sequence=${control_line##*\"sequence\":}
    control_sequence=${control_sequence%%[!0-9]*}
    case $control_line in
      *'"type":"hello"'*) continue ;;
      *'"type":"ping"'*) ;;
      *'"type":"terminate"'*) : > "$CONTROL_DIRECTORY/terminate" ;;
      *'"type":"pause"'*)
        if [ "$control_sequence" -ge "$control_newest" ]; then
          control_newest=$control_sequence
          # Whole or not at all.
          echo "$control_sequence" > "$CONTROL_DIRECTORY/new"
          rm -f "$CONTROL_DIRECTORY/resume"
          mv "$CONTROL_DIRECTORY/new" "$CONTROL_DIRECTORY/pause"
        fi ;;
      *'"type":"resume"'*)
        if [ "$control_sequence" -ge "$control_newest" ]; then
          control_newest=$control_sequence
          echo "$control_sequence" > "$CONTROL_DIRECTORY/resume"
          rm -f "$CONTROL_DIRECTORY/pause"
        fi ;;
      *) continue ;;
    esac
    control_say '{"type":"ack","sequence":%d}\n' "${control_sequence:-0}"
  done
  : > "$CONTROL_DIRECTORY/terminate"
}
