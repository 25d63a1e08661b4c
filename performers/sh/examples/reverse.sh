#!/bin/sh
# conveyor worker -f reverse --persistent --jobs 4 -- sh performers/sh/examples/reverse.sh
#
# Reverses the order of bytes, NUL and line ends included, by way of their octal numbers.

. "$(dirname "$0")/../performer.sh"

perform() {
  # Noise, on purpose: it harms nothing.
  printf 'reversing %s\ncomplete 3\nno!' "$JOB_HANDLE"
  echo 'a note' >&2
  job_progress 0 1
  od -An -v -to1 "$JOB_PAYLOAD" | tr -s ' ' '\n' | awk '
    NF { byte[++n] = $1 }
    END { for (; n > 0; n--) printf "\\0%s", byte[n] }' > "$JOB_RESULT.octal"
  # `echo` of a single shell may not know octal numbers; `printf %b` does.
  printf '%b' "$(cat "$JOB_RESULT.octal")" > "$JOB_RESULT"
  job_progress 1 1
}

performer_run
