//! Every program under examples/ runs, checks itself, and stays short.

use std::error::Error;
use std::path::Path;

#[path = "../examples/kernel_variant.rs"]
mod kernel_variant;
#[path = "../examples/new_op.rs"]
mod new_op;
#[path = "../examples/own_photos.rs"]
mod own_photos;
#[path = "../examples/pytorch_weights.rs"]
mod pytorch_weights;
#[path = "../examples/tensors.rs"]
mod tensors;

type Ran = Result<(), Box<dyn Error>>;

#[test]
fn the_tensor_library_by_itself() -> Ran {
    tensors::main()
}

#[test]
fn a_new_op() -> Ran {
    new_op::main()
}

#[test]
fn a_new_kernel_variant() -> Ran {
    kernel_variant::main()
}

#[test]
fn weights_from_pytorch() -> Ran {
    pytorch_weights::main()
}

#[test]
fn your_own_photos() -> Ran {
    own_photos::main()
}

#[test]
fn every_example_is_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let lines = std::fs::read_to_string(entry.path()).expect("text").lines().count();
        assert!(lines < 80, "{}: {lines} lines", entry.path().display());
    }
}
