# Does one job after another under `conveyor worker --persistent`. POSIX sh, with `head -c`, `mktemp` and `wc`.
#
#   . ./performer.sh
#   perform() { job_progress 1 2; rev < "$JOB_PAYLOAD" > "$JOB_RESULT"; }
#   performer_run
#
# `perform` runs once a job, in a subshell. It finds the payload in the file $JOB_PAYLOAD and writes the result to the
# file $JOB_RESULT: files, since a variable holds no NUL. $JOB_HANDLE, $JOB_FUNCTION and $JOB_UNIQUE are texts, without
# NUL and line ends at their end. What it prints is noise. Any status but 0 ends the job as an exception; `job_fail TEXT`
# and `job_exception TEXT` end it with a message. When the process ends in the middle of a job it has crashed: the job
# goes back to the server.

# So many parts of so many are done.
job_progress() {
  printf 'progress %d %d\n' "$1" "$2" >&3
}

# Sends standard input as a part of the result: printf 'x' | job_data
job_data() {
  cat > "$PERFORMER_DIRECTORY/part" && performer_send data "$PERFORMER_DIRECTORY/part"
}

# Sends standard input as a warning.
job_warning() {
  cat > "$PERFORMER_DIRECTORY/part" && performer_send warning "$PERFORMER_DIRECTORY/part"
}

# Ends the job as a failure.
job_fail() {
  printf '%s' "$1" > "$PERFORMER_DIRECTORY/fail"
  exit 1
}

# Ends the job as an exception.
job_exception() {
  printf '%s' "$1" > "$PERFORMER_DIRECTORY/exception"
  exit 1
}

# performer_send WORD FILE
performer_send() {
  # Some versions of wc write blanks before the number.
  printf '%s %d\n' "$1" "$(($(wc -c < "$2")))" >&3 && cat "$2" >&3
}

performer_end() {
  rm -rf "$PERFORMER_DIRECTORY"
}

# Does jobs until it is told to stop.
performer_run() {
  if [ -z "${CONVEYOR_PERSISTENT-}" ]; then
    echo 'run this as: conveyor worker -f FUNCTION --persistent -- sh FILE' >&2
    exit 2
  fi
  set +e
  PERFORMER_DIRECTORY=$(mktemp -d) || exit 1
  JOB_PAYLOAD=$PERFORMER_DIRECTORY/payload
  JOB_RESULT=$PERFORMER_DIRECTORY/result
  trap performer_end EXIT
  trap 'exit 143' TERM
  trap 'exit 130' INT
  echo 'ready 1' >&3
  while read -r performer_word performer_handle performer_function performer_unique performer_payload <&4; do
    case $performer_word in
      job) ;;
      stop) break ;;
      *) echo "not a job: $performer_word" >&2; exit 1 ;;
    esac
    JOB_HANDLE=$(head -c "$performer_handle" <&4)
    JOB_FUNCTION=$(head -c "$performer_function" <&4)
    JOB_UNIQUE=$(head -c "$performer_unique" <&4 | tr -d '\000')
    head -c "$performer_payload" <&4 > "$JOB_PAYLOAD"
    : > "$JOB_RESULT"
    rm -f "$PERFORMER_DIRECTORY/fail" "$PERFORMER_DIRECTORY/exception"
    # The subshell inherits no traps: it must not remove the directory.
    (trap - EXIT; perform)
    performer_status=$?
    if [ "$performer_status" -eq 0 ]; then
      performer_send complete "$JOB_RESULT"
    elif [ -e "$PERFORMER_DIRECTORY/fail" ]; then
      performer_send fail "$PERFORMER_DIRECTORY/fail"
    else
      [ -e "$PERFORMER_DIRECTORY/exception" ] ||
        printf 'exit code %d' "$performer_status" > "$PERFORMER_DIRECTORY/exception"
      performer_send exception "$PERFORMER_DIRECTORY/exception"
    fi
  done
}
