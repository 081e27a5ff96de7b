//! Text to token ids and back, by the `tokenizers` library. The file is a tokenizer.json of that
//! library.
//!
//! Ours are byte-level: any text can be encoded, and decodes to itself. Ids 0, 1, 2 are `<unk>`,
//! `<s>`, `</s>`.

use std::path::{Path, PathBuf};

use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, DecoderWrapper, ModelWrapper, PreTokenizerWrapper};

use crate::error::Result;
use crate::files;
use crate::json_strict::{Json, Object, dumps};
use crate::messages;
use crate::train::prepare::Progress;

/// Ids 0, 1, 2.
pub const SPECIAL_TOKENS: [&str; 3] = ["<unk>", "<s>", "</s>"];
/// Bytes and special tokens.
pub const MINIMUM_VOCAB: i64 = 256 + SPECIAL_TOKENS.len() as i64;

const BOS: [&str; 1] = ["<s>"];
const EOS: [&str; 2] = ["</s>", "<|endoftext|>"];
const PIECE: usize = 1 << 18;

/// `json` is the content of its tokenizer.json; `vocab_size` is the largest id plus one; an id of -1
/// is none.
pub struct Tokenizer {
    /// The content of tokenizer.json.
    pub json: Vec<u8>,
    /// Where it was found, in a sentence.
    pub place: String,
    /// The largest id plus one.
    pub vocab_size: i64,
    /// Of `<s>`.
    pub bos_id: i64,
    /// Of the end of a text.
    pub eos_id: i64,
    inner: tokenizers::Tokenizer,
    cuts: bool,
}

impl Tokenizer {
    /// Reads the content of a tokenizer.json. Errors: tokenizer_bad.
    pub fn new(json: Vec<u8>, place: &str) -> Result<Self> {
        let bad = || messages::tokenizer_bad(place);
        let text = std::str::from_utf8(&json).map_err(|_| bad())?;
        let mut inner: tokenizers::Tokenizer = text.parse().map_err(|_| bad())?;
        // Text that happens to contain "</s>" is text: special tokens enter by their ids alone.
        inner.set_encode_special_tokens(true);
        inner.with_truncation(None).map_err(|_| bad())?;
        inner.with_padding(None);
        let largest = inner.get_vocab(true).into_values().max().ok_or_else(bad)?;
        let first_of = |tokens: &[&str]| {
            tokens
                .iter()
                .find_map(|token| inner.token_to_id(token))
                .map_or(-1, i64::from)
        };
        let (bos_id, eos_id) = (first_of(&BOS), first_of(&EOS));
        let cuts = is_plain_byte_level(&inner);
        let vocab_size = i64::from(largest) + 1;
        Ok(Self {
            json,
            place: place.to_string(),
            vocab_size,
            bos_id,
            eos_id,
            inner,
            cuts,
        })
    }

    /// Errors: tokenizer_missing, cannot_read, tokenizer_bad.
    pub fn load(path: &Path) -> Result<Self> {
        match std::fs::read(path) {
            Ok(json) => Self::new(json, &files::text(path)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(messages::tokenizer_missing(&files::text(path)))
            }
            Err(error) => Err(files::cannot_read(path, &error)),
        }
    }

    /// A byte-level BPE (Sennrich et al. 2016) of at most `vocab_size` tokens, learned from the texts
    /// of `paths`; fewer when the text has no more pairs. Errors: vocab_too_small, cannot_read.
    pub fn train(paths: &[PathBuf], vocab_size: i64, progress: &mut Progress) -> Result<Self> {
        if vocab_size < MINIMUM_VOCAB {
            return Err(messages::vocab_too_small(vocab_size, MINIMUM_VOCAB));
        }
        let failed = |_| messages::tokenizer_bad("tokenizer.json");
        let mut inner = tokenizers::Tokenizer::new(ModelWrapper::BPE(BPE::default()));
        inner.with_pre_tokenizer(Some(PreTokenizerWrapper::ByteLevel(ByteLevel::new(
            false, true, true,
        ))));
        inner.with_decoder(Some(DecoderWrapper::ByteLevel(ByteLevel::default())));
        let specials = SPECIAL_TOKENS.map(|token| AddedToken::from(token, true));
        let trainer = BpeTrainerBuilder::new()
            .vocab_size(usize::try_from(vocab_size).unwrap_or(usize::MAX))
            .special_tokens(specials.to_vec())
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .show_progress(false)
            .build();
        let mut trainer = TrainerWrapper::BpeTrainer(trainer);
        let mut texts = Vec::with_capacity(paths.len());
        for (done, path) in paths.iter().enumerate() {
            progress("learn the vocabulary", done, paths.len());
            let data = std::fs::read(path).map_err(|error| files::cannot_read(path, &error))?;
            texts.push(String::from_utf8_lossy(&data).into_owned());
        }
        inner
            .train(&mut trainer, texts.into_iter())
            .map_err(failed)?;
        let mut json = inner.to_string(true).map_err(failed)?.into_bytes();
        json.push(b'\n');
        Self::new(json, "tokenizer.json")
    }

    /// One token per byte: id = 3 + byte.
    pub fn bytes() -> Result<Self> {
        Self::new(dumps(&bytes_json()).into_bytes(), "tokenizer.json")
    }

    /// The ids of `text`, without special tokens. Errors: tokenizer_bad.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self
            .encode_all(&[text.to_string()])?
            .pop()
            .unwrap_or_default())
    }

    /// `encode` of each text, in parallel. Errors: tokenizer_bad.
    pub fn encode_all(&self, texts: &[String]) -> Result<Vec<Vec<u32>>> {
        let pieces: Vec<Vec<&str>> = texts
            .iter()
            .map(|text| {
                if self.cuts {
                    cut(text)
                } else {
                    vec![text.as_str()]
                }
            })
            .collect();
        let flat: Vec<&str> = pieces.iter().flatten().copied().collect();
        let encodings = self.inner.encode_batch_fast(flat, false);
        let mut encodings = encodings
            .map_err(|_| messages::tokenizer_bad(&self.place))?
            .into_iter();
        Ok(pieces
            .iter()
            .map(|part| {
                encodings
                    .by_ref()
                    .take(part.len())
                    .flat_map(|one| one.get_ids().to_vec())
                    .collect()
            })
            .collect())
    }

    /// The text of `ids` without special tokens; bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.inner.decode(ids, true).unwrap_or_default()
    }

    /// The token as the vocabulary spells it, "" for an id that it lacks.
    pub fn token(&self, id: u32) -> String {
        self.inner.id_to_token(id).unwrap_or_default()
    }
}

/// Whether nothing but GPT-2's byte-level splitting stands before the model; see [`cut`].
fn is_plain_byte_level(inner: &tokenizers::Tokenizer) -> bool {
    let plain = match inner.get_pre_tokenizer() {
        Some(PreTokenizerWrapper::ByteLevel(level)) => level.use_regex && !level.add_prefix_space,
        _ => false,
    };
    plain
        && inner.get_normalizer().is_none()
        && inner
            .get_added_tokens_decoder()
            .values()
            .all(|added| added.special)
}

/// Cuts a long text where GPT-2's splitting always cuts, before a line end that follows a visible
/// character: the tokens are those of the whole text, and the pieces are encoded in parallel with
/// bounded memory.
fn cut(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut pieces = Vec::new();
    let mut start = 0;
    while text.len() - start > PIECE {
        let after = start + PIECE;
        let found =
            (after..text.len()).find(|&at| bytes[at] == b'\n' && bytes[at - 1].is_ascii_graphic());
        let Some(at) = found else { break };
        pieces.push(&text[start..at]);
        start = at;
    }
    pieces.push(&text[start..]);
    pieces
}

/// The visible character that stands for a byte in byte-level vocabularies (GPT-2): itself where it is
/// printable Latin-1 and not a space, else U+0100 + its rank among those that are not.
pub fn byte_character(byte: u8) -> char {
    if is_visible(byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|&other| !is_visible(other)).count() as u32;
    char::from_u32(0x100 + rank).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn is_visible(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff)
}

fn object(fields: Vec<(&str, Json)>) -> Json {
    Json::Object(fields.into_iter().collect())
}

/// The form in which the library writes a tokenizer, without merges.
fn bytes_json() -> Json {
    let mut vocab = Object::new();
    for (id, token) in SPECIAL_TOKENS.into_iter().enumerate() {
        vocab.insert(token, id);
    }
    for byte in 0..=255_u8 {
        vocab.insert(
            byte_character(byte).to_string(),
            SPECIAL_TOKENS.len() + usize::from(byte),
        );
    }
    let added = SPECIAL_TOKENS.into_iter().enumerate().map(|(id, token)| {
        object(vec![
            ("id", id.into()),
            ("content", token.into()),
            ("single_word", false.into()),
            ("lstrip", false.into()),
            ("rstrip", false.into()),
            ("normalized", false.into()),
            ("special", true.into()),
        ])
    });
    let byte_level = |add_prefix_space: bool| {
        object(vec![
            ("type", "ByteLevel".into()),
            ("add_prefix_space", add_prefix_space.into()),
            ("trim_offsets", true.into()),
            ("use_regex", true.into()),
        ])
    };
    let model = object(vec![
        ("type", "BPE".into()),
        ("dropout", Json::Null),
        ("unk_token", Json::Null),
        ("continuing_subword_prefix", Json::Null),
        ("end_of_word_suffix", Json::Null),
        ("fuse_unk", false.into()),
        ("byte_fallback", false.into()),
        ("ignore_merges", false.into()),
        ("vocab", vocab.into()),
        ("merges", Json::Array(Vec::new())),
    ]);
    object(vec![
        ("version", "1.0".into()),
        ("truncation", Json::Null),
        ("padding", Json::Null),
        ("added_tokens", Json::Array(added.collect())),
        ("normalizer", Json::Null),
        ("pre_tokenizer", byte_level(false)),
        ("post_processor", Json::Null),
        ("decoder", byte_level(true)),
        ("model", model),
    ])
}
