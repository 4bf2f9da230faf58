# Sourced: `stage NAME COMMAND...` runs a command, and at the end each stage is listed with its time.
# The first stage that fails ends the run.

stage_lines=()

# Whole seconds as people say them.
duration() { printf '%d min %02d s' "$(($1 / 60))" "$(($1 % 60))"; }

stage() {
  local name=$1 start=$SECONDS code=0
  shift
  printf '\n==> %s\n' "$name"
  # `if` switches errexit off within functions; stages are single commands or check each step.
  "$@" || code=$?
  local took
  took=$(duration $((SECONDS - start)))
  if [ "$code" -ne 0 ]; then
    stage_lines+=("$(printf 'FAILED  %-44s %s' "$name" "$took")")
    exit "$code"
  fi
  stage_lines+=("$(printf 'ok      %-44s %s' "$name" "$took")")
}

stage_summary() {
  local code=$?
  printf '\n'
  printf '%s\n' "${stage_lines[@]}"
  printf '%-7s %-44s %s\n' "$([ "$code" -eq 0 ] && echo ok || echo FAILED)" "all of ${0##*/}" "$(duration $SECONDS)"
}
trap stage_summary EXIT
