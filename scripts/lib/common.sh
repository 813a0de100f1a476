# What the scripts share: where things are, and how what they need gets here. Sourced, not run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
fixtures=$root/target/fixtures

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# need COMMAND PACKAGE: has a Debian package installed when its command is missing.
need() {
  command -v "$1" >/dev/null && return
  say "installing $2"
  local sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  command -v apt-get >/dev/null || die "$1 is missing; install $2"
  { $sudo apt-get install -y -qq "$2" || { $sudo apt-get update -qq && $sudo apt-get install -y -qq "$2"; }; } >/dev/null 2>&1 ||
    die "$1 is missing and could not be installed; install the package $2"
}

# A C compiler is needed by crates that build C (zstd, ring).
need_compiler() { need cc build-essential; }

# GitHub's own examples of webhook payloads: npm package @octokit/webhooks-examples, MIT.
fetch_octokit() {
  [ -s "$fixtures/octokit.json" ] && return
  need npm npm
  mkdir -p "$fixtures"
  local work
  work=$(mktemp -d)
  (cd "$work" && npm pack --silent @octokit/webhooks-examples@7.6.1 >/dev/null && tar xzf ./*.tgz) ||
    die "the package @octokit/webhooks-examples could not be fetched from npm"
  cp "$work/package/api.github.com/index.json" "$fixtures/octokit.json"
  rm -rf "$work"
}

# wait_for FILE: until a server has written its address there.
wait_for() {
  local left=300
  until [ -s "$1" ]; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || die "no server came up (no $1)"
    sleep 0.1
  done
}
