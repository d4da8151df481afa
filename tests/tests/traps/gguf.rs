//! The same engine on a GGUF file: one end token named (so the sentinel must be a stop token of its own), and O,
//! the tokenizer that mistral.rs rebuilds from the file.

use mistralrs_rsd::{
    engine::Engine,
    pipeline::roles::{Generator, Message},
};
use rsd_tests::tiny::Tiny;

use crate::rig::Rig;

async fn gguf() -> Rig {
    let tiny = Tiny::gguf(1).unwrap();
    let engine = Engine::load("draft", tiny.spec().unwrap()).await.unwrap();
    Rig { tiny, engine }
}

#[tokio::test]
async fn a_text_from_a_gguf_cut_into_requests_is_the_uncut_one() {
    let (whole, parts) = (gguf().await, gguf().await);
    let request = whole.request(&whole.tiny.prompt(30, 1), 40);
    let uncut = whole.run(request.clone()).await;
    let (ids, reports) = parts.cut(&request, 5).await;
    assert_eq!(ids, uncut.ids);
    assert!(reports[1..].iter().all(|report| report.prefilled <= 2), "{reports:?}");
    // Asked again, it is the prompt inside a key that must not be used.
    assert_eq!(parts.run(request).await.ids, uncut.ids);
}

#[tokio::test]
async fn o_a_qwen2_gguf_tokenises_as_its_tokenizer_json_does() {
    let (file, folder) = (gguf().await, Rig::new().await);
    for text in ["hello there, Old friend.\n\nab **cd** ef", "a  b   c\n\n\nd!\n", "1234 is 12*34?", "Grüße 你好 🙂"]
    {
        assert_eq!(file.engine.encode_text(text).unwrap(), folder.engine.encode_text(text).unwrap(), "{text:?}");
    }
    let message = [Message { role: "user".to_owned(), content: "hello there".to_owned() }];
    assert_eq!(file.engine.encode_chat(&message).await.unwrap(), folder.engine.encode_chat(&message).await.unwrap());
    assert_eq!(file.engine.vocabulary(), folder.engine.vocabulary());
}
