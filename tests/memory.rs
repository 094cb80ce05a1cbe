//! Networks and batches against what a device binds at once and holds: parameters in parts train to the bits
//! of those in one, and what does not fit is refused with what would. And inputs read as texels, where they lie or
//! from a copy.

mod common;
#[path = "common/nets.rs"]
mod nets;

use evenkeel::gpu::{Binding, Dispatch, Gpu, Slice, StepUniform};
use evenkeel::loss::ObjectiveSpec;
use evenkeel::nn::{BiasStart, Builder, Init, Named, NormKind, Params};
use evenkeel::optim::{Alarm, Learning, SgdOptions};
use evenkeel::train::device_set::DeviceSet;
use evenkeel::train::session::Session;
use evenkeel_kernels::elementwise;
use nets::{images, network};
use std::rc::Rc;

fn sgd() -> SgdOptions {
    SgdOptions { momentum: 0.9, weight_decay: 2e-4, ..SgdOptions::default() }
}

fn session(gpu: &Rc<Gpu>, model: &str, sgd: SgdOptions) -> Session {
    in_parts(gpu, model, sgd, gpu.caps.max_binding)
}

fn in_parts(gpu: &Rc<Gpu>, model: &str, sgd: SgdOptions, limit: u64) -> Session {
    let spec = network(model, NormKind::Nbn, BiasStart::Zero);
    let loss = ObjectiveSpec::default();
    Session::in_parts(gpu, &spec, &loss, (sgd, 0), limit).expect("a session")
}

/// Steps of `n` images each; the losses.
fn steps(session: &mut Session, gpu: &Rc<Gpu>, set: &DeviceSet, n: usize, count: u32) -> Vec<f32> {
    for step in 0..count {
        let uniform = StepUniform {
            learning_rate: 0.05,
            step,
            first: step * n as u32,
            ..StepUniform::default()
        };
        session.train_plan(set, n, true).expect("a plan").run(&uniform).expect("a step");
    }
    session.sgd.losses(gpu, 0, count).expect("losses")
}

fn bits(tensors: &[Named]) -> Vec<(&str, Vec<u32>)> {
    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect();
    tensors.iter().map(|(name, _, v)| (name.as_str(), bits(v))).collect()
}

/// Bytes of a part with which the small network's parameters take three.
const THREE_PARTS: u64 = 39 << 10;

#[test]
fn parameters_in_parts_train_to_the_bits_of_those_in_one() {
    let gpu = common::gpu();
    let set = DeviceSet::upload(&gpu, &images(4, 1.0).train).expect("a set");
    let averaged = SgdOptions { ema: Some(0.9), ..sgd() };
    let run = |limit| {
        let mut session = in_parts(&gpu, "small", averaged, limit);
        let losses = steps(&mut session, &gpu, &set, 8, 5);
        (session, losses)
    };
    let (whole, expected) = run(gpu.caps.max_binding);
    let (parts, losses) = run(THREE_PARTS);
    assert_eq!((whole.params.learned.len(), parts.params.learned.len()), (1, 3));
    assert_eq!(losses, expected);
    let [one, three] = [&whole, &parts].map(|s| s.params.export(true).expect("tensors"));
    assert_eq!(bits(&three), bits(&one));
    let [own, others] = [&whole, &parts].map(|s| s.params.export_gradients().expect("gradients"));
    assert_eq!(bits(&others), bits(&own));
    assert!(own.iter().all(|(name, _, g)| name.contains("bias") || g.iter().any(|x| *x != 0.0)));
    // What one layout saved, the other takes, momentum included.
    let taken = in_parts(&gpu, "small", averaged, THREE_PARTS);
    taken.params.import(&one).expect("fitting tensors");
    assert_eq!(bits(&taken.params.export(true).expect("tensors")), bits(&one));
}

#[test]
fn an_alarm_in_a_later_part_names_its_parameter() {
    let gpu = common::gpu();
    let set = DeviceSet::upload(&gpu, &images(4, 1.0).train).expect("a set");
    let head = SgdOptions { learning: Learning::Head, ..sgd() };
    let mut session = in_parts(&gpu, "small", head, THREE_PARTS);
    let mut start = session.params.export(false).expect("tensors");
    let last = start.iter_mut().find(|(name, ..)| name == "linear.bias").expect("a bias");
    last.2[3] = f32::NAN;
    session.params.import(&start).expect("fitting tensors");
    steps(&mut session, &gpu, &set, 1, 2);
    let parameter = Some("linear.weight".to_string());
    let alarm = session.sgd.alarm(&gpu, &session.params).expect("a flag");
    assert_eq!(alarm, Some(Alarm { step: 0, loss: true, parameter }));
    let kept = session.params.export(false).expect("tensors");
    assert_eq!(bits(&kept), bits(&start));
}

#[test]
fn a_parameter_larger_than_a_binding_is_named() {
    let gpu = common::gpu().binding_at_most(4 << 20);
    let mut builder = Builder::default();
    builder.parameter("first.weight".into(), [16, 16], Init::Constant(1.0));
    builder.parameter("large.weight".into(), [1536, 1024], Init::Constant(1.0));
    let Err(error) = Params::new(&gpu, builder, 0) else { panic!("it is beyond the limit") };
    for part in ["large.weight [1536, 1024] needs 6.0 MiB", "at most 4.0 MiB"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

/// The batch that the message of a refusal says to fit.
fn told(error: &str) -> usize {
    let said =
        error.split("--batch-size ").nth(1).unwrap_or_else(|| panic!("no batch in: {error}"));
    let digits: String = said.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

#[test]
fn a_batch_beyond_a_binding_is_refused_with_the_largest_that_fits() {
    let gpu = common::gpu().binding_at_most(200 << 10);
    let set = DeviceSet::upload(&gpu, &images(4, 1.0).train).expect("a set");
    let mut session = session(&gpu, "small", sgd());
    let Err(error) = session.train_plan(&set, 16, true) else { panic!("16 images do not fit") };
    let fits = told(&error.to_string());
    // 8 channels of 32 by 32 floats an image.
    assert_eq!(fits, 6, "{error}");
    assert!(error.to_string().contains("--accumulate"), "{error}");
    session.train_plan(&set, fits, true).expect("a batch that fits");
    assert!(session.train_plan(&set, fits + 1, true).is_err());
}

#[test]
fn computed_again_a_step_has_the_same_bits_in_less_memory() {
    let (gpu, splits) = (common::gpu(), images(4, 1.0));
    let set = DeviceSet::upload(&gpu, &splits.train).expect("a set");
    // With a block a stage there is little inside blocks; it is the same bits all the same.
    for (model, share) in [("resnet20", 0.5), ("resnet10", 1.0)] {
        let run = |recompute| {
            let mut session = session(&gpu, model, sgd());
            session.recompute = recompute;
            let losses = steps(&mut session, &gpu, &set, 8, 3);
            let live = session.train_plan(&set, 8, true).expect("a plan").stats().live;
            (losses, session.params.export(true).expect("tensors"), live)
        };
        let (losses, kept, most) = run(false);
        let (again, values, less) = run(true);
        assert_eq!(again, losses, "{model}");
        assert_eq!(bits(&values), bits(&kept), "{model}");
        println!("{model}: {most} bytes alive at once, computed again {less}");
        assert!((less as f64) < share * most as f64, "{model}: {less} of {most}");
    }
}

/// Losses of five steps, the gradients of the last, and the most bytes held.
fn trained(gpu: &Rc<Gpu>) -> (Vec<f32>, Vec<Vec<u32>>, u64) {
    let set = DeviceSet::upload(gpu, &images(4, 1.0).train).expect("a set");
    let mut session = session(gpu, "small", sgd());
    let losses = steps(&mut session, gpu, &set, 8, 5);
    let gradients = session.params.export_gradients().expect("gradients");
    let gradients = bits(&gradients).into_iter().map(|(_, g)| g).collect();
    (losses, gradients, gpu.memory().1)
}

#[test]
fn what_is_read_in_place_trains_to_the_bits_of_what_is_copied() {
    let (place, copying) = (common::gpu(), common::gpu().copying());
    assert_eq!(place.reads_in_place(), place.info.driver == "llvmpipe", "{}", place.describe());
    assert!(!copying.reads_in_place());
    let (losses, gradients, held) = trained(&place);
    let (expected, own, more) = trained(&copying);
    assert_eq!(losses, expected);
    assert_eq!(gradients, own);
    if place.reads_in_place() {
        assert!(held < more, "{held} bytes in place, {more} with copies");
    }
}

/// The copy of `x`, read in place, to `y`; none on a device that doesn't read so.
fn copy_in_place(gpu: &Gpu, x: &Slice, y: &Slice) -> Option<Dispatch> {
    let Some(texels) = x.texels() else {
        assert!(!gpu.reads_in_place());
        return None;
    };
    let program = elementwise::copy(x.words as u32, &gpu.caps);
    let bound = [Binding::Texels(&texels, x), Binding::Storage(y)];
    Some(gpu.bind(&program.calls[0].launch, &bound).expect("a pipeline"))
}

#[test]
fn slices_that_begin_and_end_anywhere_are_read_in_place() {
    let gpu = common::gpu();
    let words = 40_000;
    let numbers: Vec<f32> = (0..words).map(|i| i as f32).collect();
    let buffer = gpu.upload("x", &numbers).expect("a buffer");
    // Over the ends of rows of texels, to the buffer's end by each number of rows, and all of it.
    let to_the_end = (0..9).map(|rows| 4032 + rows * 4096).filter(|s| words - s >= 4096);
    let mut slices = vec![(64, 4096), (4032, 8196), (8256, words - 8256), (0, words)];
    slices.extend(to_the_end.map(|start| (start, words - start)));
    for (start, words) in slices {
        let x = Slice { buffer: buffer.clone(), start, words };
        let y = Slice::whole(gpu.alloc("y", words).expect("a buffer"));
        let Some(copy) = copy_in_place(&gpu, &x, &y) else { return };
        gpu.submit(&[copy]).expect("a submit");
        let found: Vec<f32> = gpu.read(&y).expect("numbers");
        assert_eq!(found, numbers[start..start + words], "from {start}");
    }
}

#[test]
fn memory_is_there_as_long_as_work_reads_it() {
    let gpu = common::gpu();
    let words = 1 << 20;
    let numbers: Vec<f32> = (0..words).map(|i| i as f32).collect();
    let y = Slice::whole(gpu.alloc("y", words).expect("a buffer"));
    let x = Slice::whole(gpu.upload("x", &numbers).expect("a buffer"));
    let Some(copy) = copy_in_place(&gpu, &x, &y) else { return };
    gpu.submit(&vec![copy.clone(); 20]).expect("a submit");
    // Memory freed now would be given to these.
    drop((copy, x));
    let others: Vec<_> = (0..4).map(|_| gpu.upload("other", &vec![-1.0f32; words])).collect();
    assert_eq!(gpu.read::<f32>(&y).expect("numbers"), numbers);
    assert!(others.iter().all(|o| o.is_ok()));
}
