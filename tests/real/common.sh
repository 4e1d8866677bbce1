# What both runs here need: pinned packages, installed once, and programs that are started and surely ended.
# Sourced, with `here` set to the folder of tests/real.

installed=${TOOLGATE_REAL_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/toolgate/real}
program=${TOOLGATE_BIN:-${CARGO_TARGET_DIR:-$here/../../target}/debug/toolgate}
scratch=$(mktemp -d)
pids=()

finish() {
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" || true; done
  rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 1' INT TERM

fail() {
  echo "tests/real: $1" >&2
  exit 1
}

# Sets `folder` to where these pins are installed; false if that is still to be done there.
have() {
  folder=$installed/$1-$(sha256sum <"$2" | cut -c1-16)
  [ -e "$folder/complete" ] && return
  rm -rf "$folder"
  mkdir -p "$folder"
  return 1
}

# Sets `folder` to a virtual environment with what this folder's requirements.txt pins.
install_python() {
  have "$1" "$2/requirements.txt" && return
  python3 -m venv "$folder" || fail "could not make a virtual environment"
  "$folder/bin/pip" install --quiet -r "$2/requirements.txt" || fail "could not install the Python packages"
  touch "$folder/complete"
}

# Sets `folder` to the parent of the node_modules that this folder's package-lock.json pins.
install_node() {
  have "$1" "$2/package-lock.json" && return
  cp "$2"/package*.json "$folder"
  npm ci --prefix "$folder" --no-audit --no-fund --loglevel=error || fail "could not install the npm packages"
  touch "$folder/complete"
}

# Starts a program in the background and sets `address` to what it prints on standard output once it listens.
start() {
  local name=$1
  shift
  : >"$scratch/$name.out"
  "$@" >"$scratch/$name.out" 2>"$scratch/$name.err" </dev/null &
  pids+=($!)
  for _ in $(seq 600); do
    address=$(grep -om1 'http://127\.0\.0\.1:[0-9]*' "$scratch/$name.out") && return
    kill -0 "$!" 2>/dev/null || break
    sleep 0.1
  done
  cat "$scratch/$name.out" "$scratch/$name.err" >&2
  fail "$name did not start"
}

[ -x "$program" ] || fail "no program at $program: build it first, or set TOOLGATE_BIN"
