# What the scripts share: where things are, and how what they need gets here. Sourced, not run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
fixtures=$root/target/fixtures

# Everything here talks to loopback; a proxy of whoever runs it has no part in that.
export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost

# Where Cargo puts what it builds.
built_in=${CARGO_TARGET_DIR:-$root/target}

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# need COMMAND PACKAGE: has a Debian package installed when its command is missing.
need() { command -v "$1" >/dev/null || get "$1" "$2"; }

# get WHAT PACKAGE: has a Debian package installed, because this is missing.
get() {
  say "installing $2"
  local sudo=
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "$1 is missing and there is no sudo to install it with; install the package $2"
    sudo=sudo
  fi
  command -v apt-get >/dev/null || die "$1 is missing; install $2"
  local apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get"
  { $apt install -y -qq "$2" || { $apt update -qq && $apt install -y -qq "$2"; }; } >/dev/null 2>&1 </dev/null ||
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

# Codegen's own client, generated from its OpenAPI file: PyPI package codegen-api-client, in an environment of its own.
fetch_codegen_client() {
  local there=$fixtures/codegen-client
  [ -e "$there/complete" ] && return
  need python3 python3
  python3 -c 'import ensurepip' 2>/dev/null || get "Python's venv" python3-venv
  mkdir -p "$fixtures"
  rm -rf "$there"
  python3 -m venv "$there" && "$there/bin/pip" install --quiet --disable-pip-version-check codegen-api-client==1.0.0 >&2 ||
    die "the package codegen-api-client could not be fetched from PyPI"
  touch "$there/complete"
}

# What GitHub's OpenAPI description says of requests: npm package @octokit/openapi, MIT.
fetch_github_openapi() {
  [ -s "$fixtures/github-requests.json" ] && return
  need npm npm
  need python3 python3
  mkdir -p "$fixtures"
  local work
  work=$(mktemp -d)
  (cd "$work" && npm pack --silent @octokit/openapi@23.0.2 >/dev/null && tar xzf ./*.tgz package/generated/api.github.com.json) ||
    die "the package @octokit/openapi could not be fetched from npm"
  python3 "$root/scripts/lib/github_openapi.py" "$work/package/generated/api.github.com.json" >"$work/requests.json" &&
    mv "$work/requests.json" "$fixtures/github-requests.json"
  rm -rf "$work"
}

# Claude Code itself, as its makers publish it: npm package @anthropic-ai/claude-code-linux-x64, proprietary, so it is
# fetched and never part of anything here. Fails where it is published for another platform than this one.
fetch_claude() {
  local version=2.1.330 there=$fixtures/claude-code
  [ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || return 1
  [ ! -e "$there/$version" ] || return 0
  need npm npm
  mkdir -p "$fixtures"
  rm -rf "$there"
  local work
  work=$(mktemp -d)
  say "fetching Claude Code $version, 175 MB"
  (cd "$work" && npm pack --silent "@anthropic-ai/claude-code-linux-x64@$version" >/dev/null && tar xzf ./*.tgz) ||
    die "the package @anthropic-ai/claude-code-linux-x64 could not be fetched from npm"
  mkdir "$there" && mv "$work/package/claude" "$there/claude" && touch "$there/$version" ||
    die "Claude Code could not be put into $there"
  rm -rf "$work"
}

# wait_for FILE PID [LOG]: until the server of this id has written its address there.
wait_for() {
  local left=300
  until [ -s "$1" ]; do
    left=$((left - 1))
    if [ "$left" = 0 ] || ! kill -0 "$2" 2>/dev/null; then
      [ -z "${3:-}" ] || cat "$3" >&2
      die "the server did not come up"
    fi
    sleep 0.1
  done
}
