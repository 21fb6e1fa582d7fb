#!/usr/bin/env bash
# Record episodes in many processes at once: 64 of them, or as many as the first argument says.
#   bash dreamduck/envs/extract.bash                        64 workers, 200 episodes each
#   bash dreamduck/envs/extract.bash 4 --max-trials 2000    4 workers, 2,000 episodes together
# All further arguments go to extract.py. The files are the same whatever the number of workers; a
# second start makes only what is missing. One process of extract.py uses all cores by itself.
set -u
workers=64
most=4096 # more is a slip of the finger
if [[ -n "${1:-}" && "$1" != --* && "$1" != -[a-z]* ]]; then
  if [[ ! "$1" =~ ^0*[0-9]{1,4}$ ]] || ((10#$1 < 1 || 10#$1 > most)); then
    echo "error: expected a number of workers from 1 to $most, got $1" >&2
    exit 2
  fi
  workers=$((10#$1)) # 08 is eight
  shift
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python}
arguments=("$@")
if [[ " $* " != *" --max-trials"* && " $* " != *" --max_trials"* ]]; then
  arguments+=(--max-trials $((200 * workers)))
fi
# One thread each, or the workers stand in one another's way.
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1

# Workers end when this process does, in whatever way.
export DREAMDUCK_PARENT=$$

pids=()
stop() { # exit code
  kill "${pids[@]}" 2>/dev/null
  wait
  echo interrupted >&2
  exit "$1"
}
trap 'stop 130' INT
trap 'stop 143' TERM HUP
for ((worker = 0; worker < workers; worker++)); do
  "$python" "$here/extract.py" "${arguments[@]}" --worker "$worker" --workers "$workers" &
  pids+=($!)
done
failed=0
for pid in "${pids[@]}"; do
  wait "$pid" || failed=$((failed + 1))
done
if ((failed)); then
  echo "error: $failed of $workers workers failed; start again to record what is missing" >&2
  exit 1
fi
unset DREAMDUCK_PARENT
exec "$python" "$here/extract.py" "${arguments[@]}" --report
