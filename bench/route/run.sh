#!/usr/bin/env bash
# Replays all files that there are; prints one JSON object a line.
#   bench/route/run.sh DATA SPLITS [JOBS] >results.jsonl;  python bench/route/table.py results.jsonl
set -euo pipefail
data=${1:?folder of the files} splits=${2:-200} jobs=${3:-1}
replay() {
  local file=$1 incumbent=$2 candidates=$3; shift 3
  python "$(dirname "$0")/replay.py" "$data/$file.parquet" --incumbent "$incumbent" --candidates "$candidates" \
    --epsilon 0.05 --delta 0.05 --splits "$splits" --jobs "$jobs" --risk both --json "$@"
}
replay zeroeval claude-3-5-sonnet-20241022 Meta-Llama-3.1-70B-Instruct
replay zeroeval claude-3-5-sonnet-20241022 Meta-Llama-3.1-8B-Instruct,Meta-Llama-3.1-70B-Instruct --signal cascade
replay reasoning_gym claude-3.5-sonnet llama-3.3-70b-instruct
replay routellm_mmlu gpt-4-1106-preview mixtral-8x7b-instruct
replay mmlu_pro gemini-1.5-pro-002 Meta-Llama-3.1-70B-Instruct
replay routellm_gsm8k gpt-4-1106-preview mixtral-8x7b-instruct
replay routellm_gsm8k gpt-4-1106-preview mixtral-8x7b-instruct --signal cascade
replay arena_bench gpt-4-1106-preview gpt-3.5-turbo-1106
replay livecodebench GPT-4-Turbo-2024-04-09 DSCoder-33b-Ins
# Each task is left out at least once.
splits=$((splits < 60 ? splits : 60)) replay zeroeval claude-3-5-sonnet-20241022 Meta-Llama-3.1-70B-Instruct --shift leave-one-task-out
splits=$((splits < 98 ? splits : 98)) replay reasoning_gym claude-3.5-sonnet llama-3.3-70b-instruct --shift leave-one-task-out
splits=$((splits < 57 ? splits : 57)) replay routellm_mmlu gpt-4-1106-preview mixtral-8x7b-instruct --shift leave-one-task-out
splits=$((splits < 56 ? splits : 56)) replay mmlu_pro gemini-1.5-pro-002 Meta-Llama-3.1-70B-Instruct --shift leave-one-task-out
