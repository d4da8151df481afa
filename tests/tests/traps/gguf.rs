//! The engine on a GGUF file, which names only one end token (so the sentinel has to be a separate stop token), and
//! trap O, the tokenizer that mistral.rs rebuilds from the file.

use mistralrs_rsd::engine::Engine;

use rsd_core::pipeline::roles::{ChatMessage, Generator};
use rsd_tests::tiny_model::TinyModel;

use crate::test_engine::TestEngine;

async fn gguf() -> TestEngine {
    let tiny = TinyModel::gguf(1).unwrap();
    let engine = Engine::load("draft", tiny.spec().unwrap()).await.unwrap();
    TestEngine { tiny, engine }
}

#[tokio::test]
async fn a_text_from_a_gguf_cut_into_requests_is_the_uncut_one() {
    let (whole, parts) = (gguf().await, gguf().await);
    let request = whole.request(&whole.tiny.prompt(30, 1), 40);
    let uncut = whole.run(request.clone()).await;
    let (ids, reports) = parts.cut(&request, 5).await;
    assert_eq!(ids, uncut.ids);
    assert!(reports[1..].iter().all(|report| report.prefilled <= 2), "{reports:?}");
    // Asked again, the prompt is contained in a cached key that must not be used (trap B).
    assert_eq!(parts.run(request).await.ids, uncut.ids);
}

#[tokio::test]
async fn o_a_qwen2_gguf_tokenizes_as_its_tokenizer_json_does() {
    let (file, folder) = (gguf().await, TestEngine::new().await);
    for text in ["hello there, Old friend.\n\nab **cd** ef", "a  b   c\n\n\nd!\n", "1234 is 12*34?", "Grüße 你好 🙂"]
    {
        assert_eq!(file.engine.encode_text(text).unwrap(), folder.engine.encode_text(text).unwrap(), "{text:?}");
    }
    let message = [ChatMessage { role: "user".to_owned(), content: "hello there".to_owned() }];
    assert_eq!(file.engine.encode_chat(&message).await.unwrap(), folder.engine.encode_chat(&message).await.unwrap());
    assert_eq!(file.engine.vocabulary(), folder.engine.vocabulary());
}
