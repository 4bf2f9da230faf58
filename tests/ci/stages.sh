# To be sourced: `stage NAME COMMAND...` runs a command; on exit every stage is listed with its duration.
# The first stage that fails ends the run.

stage_lines=()

# Formats whole seconds as minutes and seconds.
duration() { printf '%d min %02d s' "$(($1 / 60))" "$(($1 % 60))"; }

stage() {
  local name=$1 start=$SECONDS code=0
  shift
  printf '\n==> %s\n' "$name"
  # `||` disables errexit inside functions; stages are single commands or check each step.
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
  printf '%-7s %-44s %s\n' "$([ "$code" -eq 0 ] && echo ok || echo FAILED)" "total of ${0##*/}" "$(duration $SECONDS)"
}
trap stage_summary EXIT
