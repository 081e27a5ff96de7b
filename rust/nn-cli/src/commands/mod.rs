//! One module per subcommand: its options and what it does.

pub mod bench;
pub mod evaluate;
pub mod generate;
pub mod info;
pub mod init;
pub mod inspect;
pub mod logits;
pub mod prepare;
pub mod quantize;
pub mod train;
