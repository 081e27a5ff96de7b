//! Lifetimes of buffers, graphs and loans, and what a steady training step costs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use nn_core::model::config::MoEConfig;
use nn_core::model::transformer::{MoETransformer, Options};
use nn_core::tensor::{Backend, DType, HostMut, HostRef, Ops, Status, TensorResult};
use nn_core::train::adamw::AdamWConfig;
use nn_core::train::gpu_trainer::GpuTrainer;
use nn_cuda::{Context, why_not};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what this thread asks for.
struct Counting;

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn cpu() -> Option<Context> {
    match why_not("cpu") {
        None => Some(Context::open("cpu", 0, 1, None).expect("a context")),
        Some(reason) => {
            assert!(std::env::var("CUNN_REQUIRE").is_err(), "{reason}");
            eprintln!("skipped: {reason}");
            None
        }
    }
}

#[test]
fn a_steady_training_step_allocates_nothing() {
    let Some(context) = cpu() else { return };
    let options = Options {
        training: true,
        ..Options::default()
    };
    let model =
        MoETransformer::new(MoEConfig::tiny(), Arc::new(context), options).expect("a model");
    let mut trainer = GpuTrainer::new(Arc::new(model), 2, 16, 2, AdamWConfig::default(), true)
        .expect("a trainer");
    let ids: Vec<i32> = (0..64).collect();
    for _ in 0..3 {
        trainer.step(&ids, &ids, 1e-3).expect("a step");
    }
    let before = ALLOCATIONS.with(Cell::get);
    for _ in 0..5 {
        trainer.step(&ids, &ids, 1e-3).expect("a step");
    }
    assert_eq!(ALLOCATIONS.with(Cell::get), before);
}

#[test]
fn dropped_buffers_give_their_memory_back() {
    let Some(context) = cpu() else { return };
    let (before, _) = context.memory().expect("memory");
    let buffer = context.buffer(DType::F32, 1 << 20).expect("a buffer");
    let view = context.view(&buffer, 16, 16).expect("a view");
    drop(buffer);
    context
        .fill(&view, 16, 1.0)
        .expect("the view keeps the memory");
    drop(view);
    // Memory goes when no call of any context could still see it: other tests run beside this one.
    let freed = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        context.synchronize().expect("synchronized");
        context.memory().expect("memory").0 <= before
    });
    let (after, peak) = context.memory().expect("memory");
    assert!(
        freed && peak >= before + (4 << 20),
        "{before} {after} {peak}"
    );
}

#[test]
fn a_buffer_outlives_its_context_and_dropping_it_while_recording_is_allowed() {
    let Some(context) = cpu() else { return };
    let (a, b) = (context.buffer(DType::F32, 8), context.buffer(DType::F32, 8));
    let (a, b) = (a.expect("a buffer"), b.expect("a buffer"));
    context.graph_begin().expect("recording");
    context.fill(&b, 8, 2.0).expect("recorded");
    drop(a);
    let graph = context.graph_end().expect("a graph");
    assert_eq!(
        context
            .graph_dump(graph.as_ref())
            .expect("a dump")
            .lines()
            .count(),
        1
    );
    context.graph_launch(graph.as_ref()).expect("launched");
    assert_eq!(context.scalar_f32(&b).expect("a value"), 2.0);
    drop(context);
    drop(graph);
    drop(b);
}

#[test]
fn a_foreign_or_wrong_argument_is_a_sentence() {
    let Some(context) = cpu() else { return };
    let reference = nn_core::tensor::reference::ReferenceBackend::new();
    let foreign = reference.buffer(DType::F32, 4).expect("a buffer");
    let own = context.buffer(DType::F32, 4).expect("a buffer");
    for outcome in [
        context.scale_forward(&foreign, &own, 4, 1.0),
        context.upload(&foreign, 0, HostRef::from(&[1.0_f32; 4])),
        context.upload(&own, 0, HostRef::from(&[1_i32; 4])),
        context.upload(&own, 3, HostRef::from(&[1.0_f32; 4])),
        reference.scale_forward(&own, &foreign, 4, 1.0),
        context.scale_forward(&own, &own, usize::MAX, 1.0),
    ] {
        assert_eq!(
            outcome.expect_err("an error").status(),
            Status::InvalidArgument
        );
    }
}

#[test]
fn a_loan_is_the_hosts_memory_and_has_no_views() {
    let Some(context) = cpu() else { return };
    let mut values = vec![1.0_f32, 2.0, 3.0];
    let kept = context
        .with_wrapped(&mut values, |lent| {
            assert!(context.view(lent, 0, 1).is_err());
            context.scale_forward(lent, lent, 3, 2.0)?;
            Ok(lent.clone())
        })
        .expect("ended");
    assert_eq!(values, [2.0, 4.0, 6.0]);
    assert!(context.scale_forward(&kept, &kept, 3, 2.0).is_err());
    assert_eq!(values, [2.0, 4.0, 6.0]);
}

#[test]
fn a_loan_is_for_its_own_context_and_for_no_recording() {
    let (Some(context), Some(other)) = (cpu(), cpu()) else {
        return;
    };
    let mut values = vec![1.0_f32, 2.0, 3.0];
    context
        .with_wrapped(&mut values, |lent| {
            assert!(other.scale_forward(lent, lent, 3, 2.0).is_err());
            context.graph_begin()?;
            let recorded = context.scale_forward(lent, lent, 3, 2.0);
            drop(context.graph_end());
            assert!(recorded.is_err());
            Ok(())
        })
        .expect("ended");
    assert_eq!(values, [1.0, 2.0, 3.0]);
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = context.with_wrapped(&mut values, |_| -> TensorResult<()> {
            panic!("on purpose")
        });
    }));
    assert!(unwound.is_err());
    context.synchronize().expect("a context as before");
}

#[test]
fn a_buffer_of_another_library_is_no_buffer() {
    let Some(context) = cpu() else { return };
    if let Some(why) = why_not("simt") {
        eprintln!("skipped: {why}");
        return;
    }
    let simt = Context::open("simt", 0, 1, None).expect("simt");
    let theirs = simt.buffer(DType::U8, 64).expect("bytes");
    let ours = context.buffer(DType::F32, 64).expect("floats");
    assert!(context.view(&theirs, 0, 64).is_err());
    assert!(context.add_forward(&ours, &theirs, &ours, 64).is_err());
    assert!(
        context
            .download_into(&theirs, 0, HostMut::U8(&mut [0; 64]))
            .is_err()
    );
    simt.graph_begin().expect("recording");
    simt.fill(&theirs, 64, 1.0).expect("recorded");
    let recorded = simt.graph_end().expect("a graph");
    assert_eq!(
        context
            .graph_launch(recorded.as_ref())
            .expect_err("a foreign graph")
            .to_string(),
        "graph_launch: graph is not of this library, expected a graph"
    );
}

#[test]
fn every_function_of_the_header_is_in_the_table() {
    let header = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cuda/include/cunn.h");
    let header = std::fs::read_to_string(header).expect("the header");
    let declared = |line: &&str| {
        line.contains("cunn_") && line.contains('(') && !line.starts_with(['/', ' ', '#'])
    };
    let table = include_str!("../src/sys.rs");
    let (mut seen, body) = (
        0,
        header.split("cunn-abi-begin").nth(1).expect("the marker"),
    );
    for line in body.lines().filter(declared) {
        let name = line
            .split('(')
            .next()
            .and_then(|start| start.split([' ', '*']).next_back())
            .expect("a name");
        assert!(
            table.contains(&format!("    pub {name}:")),
            "{name} is not in the table"
        );
        seen += 1;
    }
    assert!(seen > 80, "{seen} functions");
}
