//! The texts that people read: the comparison in the docs, the help, and the errors.

use std::{env, fs, path::PathBuf};

use clap::CommandFactory as _;

use super::super::table;
use super::{ServeCli, target};

#[test]
fn the_comparison_in_the_docs_is_current() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/serve-options.md");
    let current = table::render();
    if env::var_os("RSD_BLESS").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(written == current, "{} is not current; run the tests with RSD_BLESS=1", path.display());
}

#[test]
#[allow(clippy::too_many_lines, reason = "the help has many lines")]
fn short_help() {
    let mut cli = ServeCli::command();
    cli.build();
    let mut serve = cli.find_subcommand("serve").unwrap().clone().term_width(100);
    insta::assert_snapshot!(serve.render_help().to_string(), @r"
    Serve an OpenAI endpoint that answers by Reward-Guided Speculative Decoding

    Usage: mistralrs-rsd serve [OPTIONS] [COMMAND]

    Commands:
      auto  A text model of any kind, which is detected (recommended)
      text  A text model
      help  Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version

    Deployment:
          --rsd [<FILE>]      Deployment file: draft, reward model, policy, and the target unless the
                              command line names one; without FILE the demo that is part of the program
                              [env: RSD_CONFIG]
          --set <PATH=VALUE>  Override a value of the deployment file, such as policy.delta=0.7; may be
                              repeated
          --dry-run           Print the settings in effect, and exit

    Server:
      -p, --port <PORT>             Port; overrides server.port. Default: 1234
          --host <HOST>             Address to listen on; overrides server.host. Default: 127.0.0.1
          --api-key-env <VARIABLE>  Environment variable that holds the API key; overrides
                                    server.api_key_env
          --api-key-file <FILE>     File that holds the API key; overrides server.api_key_file

    Target model:
      -m, --model-id <MODEL_ID>
              Hugging Face model id or local folder of the target; replaces roles.target of the
              deployment file
      -t, --tokenizer <TOKENIZER>
              Local tokenizer.json
      -a, --arch <ARCH>
              Architecture, if it is not detected
          --dtype <DTYPE>
              Data type: auto, bf16, f16, f32. Default: auto
          --format <FORMAT>
              File format; detected if left out [possible values: plain, gguf, ggml]
      -f, --quantized-file <QUANTIZED_FILE>
              GGUF or GGML file names, separated by semicolons
          --tok-model-id <TOK_MODEL_ID>
              Model whose tokenizer a GGUF or GGML file uses
          --gqa <GQA>
              Grouped-query factor of a GGML file. Default: 1

    Adapters:
          --lora <LORA>
              LoRA adapter model ids, separated by semicolons
          --xlora <XLORA>
              X-LoRA adapter model id
          --xlora-order <XLORA_ORDER>
              X-LoRA ordering file
          --tgt-non-granular-index <TGT_NON_GRANULAR_INDEX>
              Target non-granular index of X-LoRA

    Quantization:
          --isq <ISQ>
              In-situ quantization: 2 to 8, or a type such as q4k
          --from-uqff <FROM_UQFF>
              UQFF files to load, separated by semicolons, or 2 to 8 to find the file
          --isq-organization <ISQ_ORGANIZATION>
              Organization of in-situ quantization: default or moqe
          --imatrix <IMATRIX>
              imatrix file for in-situ quantization
          --calibration-file <CALIBRATION_FILE>
              Calibration file from which an imatrix is made

    Device:
          --cpu
              Force the CPU
      -n, --device-layers <DEVICE_LAYERS>
              Layers per device, ORD:NUM;... such as 0:10;1:20; automatic if left out
          --topology <TOPOLOGY>
              Topology file
          --max-seq-len <MAX_SEQ_LEN>
              Longest prompt that automatic device mapping plans for. Default: 4096
          --max-batch-size <MAX_BATCH_SIZE>
              Largest batch that automatic device mapping plans for. Default: 1

    PagedAttention:
          --paged-attn <PAGED_ATTN>
              PagedAttention: auto is on for CUDA and off elsewhere. Default: auto [possible values:
              auto, on, off]
          --pa-context-len <PA_CONTEXT_LEN>
              Reserve cache memory for this many tokens
          --pa-memory-mb <PA_MEMORY_MB>
              Reserve this many megabytes instead
          --pa-memory-fraction <PA_MEMORY_FRACTION>
              Reserve this fraction (0 to 1) of the device instead, the memory of other roles included
          --pa-block-size <PA_BLOCK_SIZE>
              Tokens per block: 8, 16 or 32
          --pa-cache-type <PA_CACHE_TYPE>
              Cache data type: auto or f8e4m3. Default: auto

    Runtime:
          --max-seqs <MAX_SEQS>
              Requests that run at the same time; overrides limits.running. Default: 4
          --prefix-cache-n <PREFIX_CACHE_N>
              Prefix caches per model, on a GPU without PagedAttention. Default: 16
      -c, --chat-template <CHAT_TEMPLATE>
              Chat template file (.json or .jinja) of the target
      -j, --jinja-explicit <JINJA_EXPLICIT>
              Jinja template that overrides the target's
          --seed <SEED>
              Seed of requests that do not set one
      -l, --log <LOG>
              Log all requests and answers to this file
          --token-source <TOKEN_SOURCE>
              Hugging Face token for the target: cache, none, env:VARIABLE, path:FILE, literal:TOKEN.
              Default: cache

    The options describe the target, like those of `mistralrs serve` (0.8.1). Without a model on the
    command line the deployment file names all roles; a model on the command line replaces roles.target
    of the file entirely.

    The model subcommands of the older server (run, plain, lora, x-lora, gguf, lora-gguf, x-lora-gguf,
    ggml, lora-ggml, x-lora-ggml) work too, each with its own --help.

    Unlike mistral.rs the server listens on 127.0.0.1 unless --host names another address.

    Options of `mistralrs serve` that RSD does not support (--ui, --mcp-port, --mcp-config,
    --enable-search, --search-embedding-model, --no-kv-cache, --hf-cache, --max-edge, --max-num-images,
    --max-image-length) and models that do not generate text are rejected with the reason.
    docs/serve-options.md compares the options one by one.
    ");
}

#[test]
fn errors_say_what_why_and_what_to_do() {
    let errors: Vec<String> = [
        "--ui",
        "--no-kv-cache",
        "diffusion -m m",
        "--isq 4",
        "--isq 4 auto -m m",
        "-m m --format gguf",
        "-m m --format gguf -f a.gguf --isq 4",
        "-m m --token-source oops",
        "-p 1 --set server.port=2",
    ]
    .iter()
    .map(|line| target(line).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(errors.join("\n"), @r#"
    --ui is not supported: the built-in web page sends its requests directly to one engine, without draft and reward model. Point any OpenAI chat client at /v1
    --no-kv-cache is not supported: every role continues from its cached prefix; without a cache each step would prefill the whole answer again. Leave it out; roles.*.prefix_cache_mb limits the memory
    diffusion is not supported: such a model does not generate text, so there are no steps to draft and score. Serve it with mistral.rs
    --isq describes the target model, but the command line names no model. Add --model-id (-m), or use --set roles.target.isq=VALUE instead of --isq
    --isq stands before `auto`, which has its own model options. Move --isq behind `auto`
    --format needs --quantized-file, the file's name in the model
    --isq has no effect on a GGUF or GGML file, which says its own architecture and quantization: leave it out
    --token-source: expected cache, none, env:VARIABLE, path:FILE or literal:TOKEN (the value given is not shown here)
    --port and --set server.port set the same value. Use one of them
    "#);
}
