# What choosing the faster model with foresight would take, over the target's time, from the answers of auto.sh:
#
#   jq -s -f examples/evaluation/perfect-choice.jq target/results/auto/SET/answers.jsonl
#
# The first number: for each question the faster of the target and the loop of the paper. The second: the loop of the
# paper where it needs nothing of the target, the target elsewhere. Only questions that both answered count.
group_by(.question) | map(select(any(.method | startswith("rsd-draft")))
  | (map(select(.method == "target"))[0].seconds) as $target
  | map(select(.method | startswith("rsd-draft")))[0] as $loop
  | [$target, ([$target, $loop.seconds] | min), if $loop.target.generated == 0 then $loop.seconds else $target end])
  | transpose | map(add) | [.[1] / .[0], .[2] / .[0]]
