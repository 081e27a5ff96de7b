//! Properties that hold for any input: shapes and views, and readers that refuse instead of failing.

use std::sync::Arc;

use nn_core::json_strict::{dumps, dumps_compact, loads};
use nn_core::model::config::MoEConfig;
use nn_core::model::safetensors::{SafetensorsFile, TensorEntry, read_header, save_file};
use nn_core::tensor::reference::ReferenceBackend;
use nn_core::tensor::{Backend, DType, HostVec, Shape, Tensor};
use nn_core::text::repr;
use proptest::prelude::*;

fn tensor(sizes: &[usize]) -> Tensor {
    let shape = Shape::new(sizes).expect("a shape");
    let values: Vec<f32> = (0..shape.size()).map(|i| i as f32).collect();
    let backend: Arc<dyn Backend> = Arc::new(ReferenceBackend::new());
    Tensor::from_host(backend, shape, DType::F32, &values).expect("a tensor")
}

proptest! {
    #[test]
    fn strides_walk_every_element_once(sizes in prop::collection::vec(0_usize..6, 0..5)) {
        let shape = Shape::new(&sizes).unwrap();
        let strides = shape.strides();
        let mut seen = vec![0; shape.size()];
        for flat in 0..shape.size() {
            let index: Vec<usize> = strides.iter().zip(&sizes).map(|(stride, size)| flat / stride % size).collect();
            seen[index.iter().zip(&strides).map(|(i, stride)| i * stride).sum::<usize>()] += 1;
        }
        prop_assert!(seen.iter().all(|count| *count == 1));
    }

    #[test]
    fn shapes_that_cannot_be_counted_are_refused(sizes in prop::collection::vec(any::<usize>(), 1..5)) {
        let counted = sizes.iter().try_fold(1_usize, |product, size| product.checked_mul((*size).max(1)));
        prop_assert_eq!(Shape::new(&sizes).is_ok(), counted.is_some());
    }

    #[test]
    fn a_view_is_its_rows(rows in 1_usize..9, cols in 0_usize..6, a in 0_usize..9, b in 0_usize..9) {
        let whole = tensor(&[rows, cols]);
        match whole.view(a, b) {
            Ok(view) => {
                let all = whole.to_array().unwrap();
                let part = view.to_array().unwrap();
                prop_assert_eq!(part.values(), &all.values()[a * cols..b * cols]);
                view.upload(&vec![-1.0_f32; (b - a) * cols]).unwrap();
                let after = whole.to_array().unwrap();
                for (at, value) in after.values().iter().enumerate() {
                    let inside = (a * cols..b * cols).contains(&at);
                    prop_assert_eq!(*value, if inside { -1.0 } else { at as f32 });
                }
            }
            Err(_) => prop_assert!(a > b || b > rows),
        }
    }

    #[test]
    fn reshape_keeps_the_values(a in 1_usize..5, b in 1_usize..5, c in 1_usize..5) {
        let whole = tensor(&[a, b * c]);
        let other = whole.reshape(&[-1, c as isize]).unwrap();
        prop_assert_eq!(other.shape().dims(), &[a * b, c]);
        let (other, whole) = (other.to_array().unwrap(), whole.to_array().unwrap());
        prop_assert_eq!(other.values(), whole.values());
    }

    #[test]
    fn json_reads_what_it_writes(text in ".*", number in any::<f64>(), integer in any::<i64>()) {
        let number = if number.is_finite() { repr(number) } else { "0.5".to_string() };
        let source = format!("[{}, {number}, {integer}]", nn_core::json_strict::quote(&text));
        let value = loads(source.as_bytes(), "x").unwrap();
        prop_assert_eq!(&loads(dumps(&value).as_bytes(), "x").unwrap(), &value);
        prop_assert_eq!(&loads(dumps_compact(&value).as_bytes(), "x").unwrap(), &value);
    }

    #[test]
    fn any_bytes_are_json_or_one_sentence(data in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = loads(&data, "x") {
            prop_assert!(error.to_string().starts_with("x: "));
        }
    }

    #[test]
    fn any_structure_is_json_or_one_sentence(data in r#"[\[\]{}",:0-9eE.\\untrfal -]{0,80}"#) {
        if let Err(error) = loads(data.as_bytes(), "x") {
            prop_assert!(error.to_string().starts_with("x: "));
        }
        prop_assert!(MoEConfig::from_json(data.as_bytes(), "x").is_err());
    }

    #[test]
    fn any_header_is_read_or_one_sentence(
        length in prop_oneof![0_u64..300, any::<u64>()],
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            r#"\{"a":\{"dtype":"(F32|U8|X)","shape":\[[0-9,]{0,30}\],"data_offsets":\[[0-9]{1,20},[0-9]{1,20}\]\}\} {0,9}"#
                .prop_map(String::into_bytes),
        ],
        honest in any::<bool>(),
    ) {
        let length = if honest { body.len() as u64 } else { length };
        let mut data = length.to_le_bytes().to_vec();
        data.extend(body);
        match read_header(&data, "f") {
            Ok((_, tensors, start)) => {
                for (_, info) in tensors.iter() {
                    prop_assert!(info.begin <= info.end && start as u64 + info.end <= data.len() as u64);
                }
            }
            Err(error) => prop_assert!(error.to_string().starts_with("f: ")),
        }
    }

    #[test]
    fn a_file_holds_what_was_written(counts in prop::collection::vec(0_usize..40, 1..6), flip in any::<(usize, u8)>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let entries: Vec<TensorEntry> =
            counts.iter().enumerate().map(|(at, &n)| TensorEntry::new(format!("t{at}"), "F32", &[n])).collect();
        let of = |name: &str| -> Vec<f32> {
            let at: usize = name[1..].parse().unwrap();
            (0..counts[at]).map(|i| (at * 100 + i) as f32).collect()
        };
        save_file(&path, &entries, &mut |name| Ok(HostVec::F32(of(name))), &[("format", "pt")]).unwrap();
        let file = SafetensorsFile::open(&path, "folder").unwrap();
        for entry in &entries {
            prop_assert_eq!(file.f32(&entry.name).unwrap(), of(&entry.name));
        }
        // A damaged file is read or refused in one sentence.
        let mut data = std::fs::read(&path).unwrap();
        let at = flip.0 % data.len();
        data[at] ^= flip.1;
        data.truncate(data.len() - flip.0 % 3);
        std::fs::write(&path, &data).unwrap();
        if let Ok(file) = SafetensorsFile::open(&path, "folder") {
            for (name, _) in file.tensors().iter() {
                let _ = file.f32(name);
            }
        }
    }
}
