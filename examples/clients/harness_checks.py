"""lm-evaluation-harness, which scores answers by the log-probabilities of an echoed prompt of token ids."""

import json
import os
import tempfile
from pathlib import Path

from checks import check
from openai_checks import ensure

URL = os.environ["OPENAI_BASE_URL"]
TASK = Path(__file__).with_name("scoring_task")


def write_tokenizer(gguf, folder):
    """Writes the byte-pair tokenizer of a GGUF file of the Qwen2 family as tokenizer.json."""
    from gguf import GGUFReader
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    fields = GGUFReader(gguf).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    kinds = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(merge.split(" ", 1)) for merge in fields["tokenizer.ggml.merges"].contents()]
    special = [token for token, kind in zip(tokens, kinds) if kind == 3]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    words = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(words), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    end = tokens[fields["tokenizer.ggml.eos_token_id"].contents()]
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end, "pad_token": end}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return tokenizer


def evaluate(**arguments):
    import lm_eval
    from lm_eval.tasks import TaskManager

    gguf = os.environ["RSD_CLIENTS_GGUF"]
    if not Path(gguf).is_file():
        raise FileNotFoundError(f"{gguf}: name the GGUF file of the target or the draft with --gguf")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = write_tokenizer(gguf, Path(folder))
        ensure(tokenizer.encode("2+2=").ids == [17, 10, 17, 28], tokenizer.encode("2+2=").ids)
        settings = {"model": "target", "base_url": f"{URL}/completions", "tokenizer": folder, "num_concurrent": 1}
        settings |= {"max_length": 512, "max_retries": 1, "timeout": 600, **arguments}
        manager = TaskManager(include_path=str(TASK), include_defaults=False)
        os.chdir(TASK)
        return lm_eval.simple_evaluate(
            model="local-completions",
            model_args=settings,
            tasks=["rsd_capitals", "rsd_sums"],
            task_manager=manager,
            bootstrap_iters=0,
        )["results"]


@check("lm_eval", "local-completions, token ids, `echo` and `logprobs`, one prompt a request")
def harness():
    found = evaluate()
    ensure(found["rsd_capitals"]["acc,none"] == 1.0, found)
    return f"works: {found['rsd_capitals']['acc,none']:.2f} of the choices, {found['rsd_sums']['exact_match,none']:.2f} of the sums"


@check("lm_eval", "local-completions, the same, four prompts a request")
def harness_batch():
    found = evaluate(batch_size=4)
    ensure(found["rsd_capitals"]["acc,none"] == 1.0, found)
