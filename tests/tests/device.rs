//! A device from outside: every golden runs on one that is written here, with the plain kernels and memory of its own, and gives
//! MindSpore's numbers.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mindir::builder::Builder;
use mindir::device::{
    Declined, Device, DeviceError, DeviceMemory, DeviceTensor, Executable, Input, MemoryModel, Offer, Output, Place,
    Preferences, Run, Stage, Step, TaskView, Weights,
};
use mindir::task::{Layout, Task};
use mindir::{DType, Fact, Fallback, GraphCell, InputError, Options, Plan, Session, Spec, Tensor};
use mindir_kernels::plain;
use mindir_tests::compare::difference;
use mindir_tests::golden;

/// Computes everything but host tasks, one element after the other, and counts the tensors that are copied to it and back.
#[derive(Debug, Default)]
struct Plain {
    uploads: AtomicUsize,
    downloads: AtomicUsize,
}

impl Plain {
    /// Tensors that were copied to the device and back since the last call.
    fn copied(&self) -> (usize, usize) {
        (self.uploads.swap(0, Ordering::Relaxed), self.downloads.swap(0, Ordering::Relaxed))
    }
}

impl Device for Plain {
    fn name(&self) -> &str {
        "plain"
    }

    fn memory(&self) -> MemoryModel {
        MemoryModel::Buffers
    }

    fn preferences(&self) -> Preferences {
        Preferences { convolutions: Layout::Nchw }
    }

    fn own_memory(&self) -> Option<&dyn DeviceMemory> {
        Some(self)
    }

    fn offer(&self, view: TaskView<'_>) -> Result<Offer, Declined> {
        if let Task::Host(_) = view.task {
            return Err(Declined("it computes no host tasks".into()));
        }
        if let Task::Attention(_) = view.task {
            return Err(Declined("it computes the parts of attention".into()));
        }
        let kernel = format!("plain-{}", view.task.family());
        Ok(Offer { kernel, in_place: Vec::new(), scratch: 0, prepared: Box::new(()) })
    }

    fn build(&self, stage: Stage, offers: Vec<Offer>, _: &Weights) -> Result<Arc<dyn Executable>, DeviceError> {
        Ok(Arc::new(PlainExecutable { stage, kernels: offers.into_iter().map(|o| o.kernel).collect() }))
    }
}

/// Elements that nobody reaches but by this device.
#[derive(Debug)]
struct PlainTensor(Fact, Mutex<Vec<u8>>);

impl DeviceTensor for PlainTensor {
    fn fact(&self) -> &Fact {
        &self.0
    }
}

fn plain(tensor: &dyn DeviceTensor) -> &PlainTensor {
    (tensor as &dyn Any).downcast_ref().expect("a tensor of this device")
}

impl DeviceMemory for Plain {
    fn alloc(&self, fact: &Fact) -> Result<Arc<dyn DeviceTensor>, DeviceError> {
        Ok(Arc::new(PlainTensor(fact.clone(), Mutex::new(vec![0xcd; fact.bytes()]))))
    }

    fn upload(&self, transfers: &[(&[u8], &dyn DeviceTensor)]) -> Result<(), DeviceError> {
        self.uploads.fetch_add(transfers.len(), Ordering::Relaxed);
        for (bytes, tensor) in transfers {
            plain(*tensor).1.lock().unwrap().copy_from_slice(bytes);
        }
        Ok(())
    }

    fn download(&self, transfers: &mut [(&dyn DeviceTensor, &mut [u8])]) -> Result<(), DeviceError> {
        self.downloads.fetch_add(transfers.len(), Ordering::Relaxed);
        for (tensor, bytes) in transfers {
            bytes.copy_from_slice(&plain(*tensor).1.lock().unwrap());
        }
        Ok(())
    }
}

struct PlainExecutable {
    stage: Stage,
    kernels: Vec<String>,
}

impl Executable for PlainExecutable {
    fn session(self: Arc<Self>) -> Box<dyn Run> {
        let slots = self.stage.slots.iter().map(|s| vec![0; s.bytes]).collect();
        Box::new(PlainRun { executable: self, slots })
    }

    fn session_bytes(&self) -> usize {
        self.stage.slots.iter().map(|s| s.bytes).sum()
    }

    fn kernels(&self) -> Vec<String> {
        self.kernels.clone()
    }
}

struct PlainRun {
    executable: Arc<PlainExecutable>,
    slots: Vec<Vec<u8>>,
}

impl PlainRun {
    fn step(&mut self, step: &Step, ins: &[Input<'_>], outs: &[Output<'_>]) -> Result<(), DeviceError> {
        let failed = |message| DeviceError::Step { path: step.path.clone(), message };
        let mut operands = Vec::new();
        for (place, fact) in step.ins.iter().zip(&step.in_facts) {
            let bytes = match place {
                Place::Const(t) => t.bytes().to_vec(),
                Place::Slot(i) => self.slots[*i].clone(),
                Place::Input(i) => plain(ins[*i].device("plain")?).1.lock().unwrap().clone(),
                Place::Output(i) => plain(outs[*i].device("plain")?).1.lock().unwrap().clone(),
            };
            let operand = Tensor::from_bytes(fact.dtype, &fact.shape, bytes[..fact.bytes()].to_vec().into());
            operands.push(operand.map_err(|e| failed(e.to_string()))?);
        }
        let results = plain::run(&step.task, &operands, &step.out_facts).map_err(|e| failed(e.to_string()))?;
        for (place, t) in step.outs.iter().zip(results) {
            match place {
                Place::Slot(i) => self.slots[*i][..t.bytes().len()].copy_from_slice(t.bytes()),
                Place::Output(i) => plain(outs[*i].device("plain")?).1.lock().unwrap().copy_from_slice(t.bytes()),
                other => return Err(failed(format!("a result cannot lie in {other:?}"))),
            }
        }
        Ok(())
    }
}

impl Run for PlainRun {
    fn run(&mut self, ins: &[Input<'_>], outs: &mut [Output<'_>], _: Option<&mut [u64]>) -> Result<(), DeviceError> {
        let executable = self.executable.clone();
        executable.stage.steps.iter().try_for_each(|step| self.step(step, ins, outs))
    }
}

#[test]
fn goldens_run_on_a_device_from_outside() {
    let options = Options { threads: Some(1), ..Options::default() }.with_device(Arc::new(Plain::default()));
    let mut stages = 0;
    for golden in golden::all(&golden::folder()) {
        let name = &golden.name;
        let cell = GraphCell::new(mindir::load(&golden.graph).unwrap(), options.clone()).unwrap();
        let set = &golden.runs[0];
        let inputs = set.inputs(cell.inputs().len());
        let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
        let plan = cell.plan(&facts).unwrap_or_else(|e| panic!("{name}: {e}"));
        stages += plan.stages().iter().filter(|s| s.device == "plain" && !s.on_host).count();
        let got = cell.run(&inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
        for (got, want) in got.iter().zip(&set.outputs).filter_map(|(got, want)| Some((got, want.as_ref()?))) {
            let d = difference(got, want).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(d.relative() <= golden.tolerance, "{name} differs by {:.2e}", d.relative());
        }
    }
    assert!(stages > 100, "{stages} stages ran on the device");
}

#[test]
fn what_the_device_computes_in_parts_is_no_fallback() {
    let golden = golden::read(&golden::folder().join("vit_small"));
    let model = mindir::load(&golden.graph).unwrap();
    let facts: Vec<Fact> = golden.runs[0].inputs.iter().map(Tensor::fact).collect();
    let options = Options { fallback: Fallback::Deny, ..Options::default() };
    let cell = GraphCell::new(model.clone(), options.clone().with_device(Arc::new(Plain::default()))).unwrap();
    let plan = cell.plan(&facts).unwrap();
    let families: Vec<&str> = plan.stages().iter().flat_map(|s| &s.steps).map(|s| s.family).collect();
    assert!(families.contains(&"softmax") && !families.contains(&"attention"), "{families:?}");
    let why = plan.notes().iter().find(|note| note.pass == "expand").expect("a note");
    assert_eq!(why.why, "plain declines the whole: it computes the parts of attention");
    let on_cpu = GraphCell::new(model, options).unwrap().plan(&facts).unwrap();
    assert!(on_cpu.stages().iter().flat_map(|s| &s.steps).any(|s| s.family == "attention"));
}

/// A plan of a golden on a plain device, or on the CPU.
fn plan(name: &str, device: Option<Arc<Plain>>) -> Plan {
    let golden = golden::read(&golden::folder().join(name));
    let options = device.map_or_else(Options::default, |device| Options::default().with_device(device));
    let cell = GraphCell::new(mindir::load(&golden.graph).unwrap(), options).unwrap();
    cell.plan(&cell.exported_facts().unwrap()).unwrap()
}

#[test]
fn images_have_the_order_that_the_device_prefers() {
    let relaid = |plan: &Plan| plan.notes().iter().filter(|n| n.pass == "layout" && n.applied).count();
    let (here, there) = (plan("resnet_basic_small", None), plan("resnet_basic_small", Some(Arc::default())));
    assert!(relaid(&here) > 0 && relaid(&there) == 0);
    let refused = there.notes().iter().filter(|n| n.pass == "layout").map(|n| n.why.as_str());
    assert!(refused.clone().count() > 0 && refused.into_iter().all(|why| why == "the device prefers channels first"));
}

/// A value that is not read any more leaves its buffer to the next.
#[test]
fn buffers_are_shared_by_values_that_do_not_meet() {
    let mut b = Builder::new("chain");
    let x = b.input("x", Spec::fixed(DType::F32, &[1000]));
    let mut y = x;
    for _ in 0..20 {
        y = b.op("Neg", [y.into()]).unwrap();
    }
    let kept = b.op("Add", [y.into(), y.into()]).unwrap();
    let options = Options { disabled_passes: vec!["all".into()], ..Options::default() };
    let cell = GraphCell::new(b.finish(&[kept]), options.with_device(Arc::new(Plain::default()))).unwrap();
    let plan = cell.plan(&cell.exported_facts().unwrap()).unwrap();
    let [stage] = plan.stages() else { panic!("{} stages", plan.stages().len()) };
    assert_eq!((stage.steps.len(), stage.memory), (21, 2 * 4000));
}

#[test]
fn what_the_device_declines_is_named() {
    let golden = golden::read(&golden::folder().join("roi_align"));
    let options = Options { fallback: Fallback::Deny, ..Options::default() }.with_device(Arc::new(Plain::default()));
    let cell = GraphCell::new(mindir::load(&golden.graph).unwrap(), options).unwrap();
    let error = cell.run(&golden.runs[0].inputs).unwrap_err().to_string();
    assert!(error.contains("plain: it computes no host tasks"), "{error}");
}

/// The bytes of three numbers.
fn elements(numbers: [f32; 3]) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes.chunks_exact_mut(4).zip(numbers).for_each(|(b, x)| b.copy_from_slice(&x.to_le_bytes()));
    bytes
}

/// `h' = tanh(h + x)` and `y = 2 · h'` on a plain device; `y` and `h'` are the results.
fn recurrent() -> (Arc<Plain>, Session) {
    let mut b = Builder::new("recurrent");
    let spec = Spec::fixed(DType::F32, &[3]);
    let (x, h) = (b.input("x", spec.clone()), b.input("h", spec));
    let sum = b.op("Add", [h.into(), x.into()]).unwrap();
    let h = b.op("Tanh", [sum.into()]).unwrap();
    let y = b.op("Add", [h.into(), h.into()]).unwrap();
    let device = Arc::new(Plain::default());
    let cell = GraphCell::new(b.finish(&[y, h]), Options::default().with_device(device.clone())).unwrap();
    let session = cell.session(&cell.exported_facts().unwrap()).unwrap();
    (device, session)
}

#[test]
fn what_is_carried_stays_on_the_device() {
    let (device, mut session) = recurrent();
    session.carry(1, 1).unwrap();
    session.input_mut::<f32>(1).unwrap().fill(0.5);
    let mut h = 0.5f32;
    for step in 0..4 {
        session.input_mut::<f32>(0).unwrap().fill(step as f32);
        session.run_filled().unwrap();
        h = (h + step as f32).tanh();
        assert_eq!(session.output::<f32>(0).unwrap(), [2.0 * h; 3]);
        assert_eq!(device.copied(), (if step == 0 { 2 } else { 1 }, 1), "x, and h at first; y");
        assert_eq!(session.fetch(1).unwrap(), Tensor::vector(&[h; 3]));
        device.copied();
    }
    assert_eq!(session.output::<f32>(1).unwrap_err().to_string(), "result 1 stays in the device's memory");
    // Inputs that are given count, whatever is carried.
    session.run(&[&[0.25f32; 3][..], &[0.75; 3]]).unwrap();
    assert_eq!(device.copied(), (2, 1));
    assert_eq!(session.fetch(1).unwrap(), Tensor::vector(&[1f32.tanh(); 3]));
}

#[test]
fn tensors_on_the_device_are_inputs_and_results() {
    let (device, mut session) = recurrent();
    let memory = device.own_memory().unwrap();
    let fact = Fact::new(DType::F32, &[3]);
    let x = memory.alloc(&fact).unwrap();
    memory.upload(&[(&elements([1.0, 2.0, 3.0]), &*x)]).unwrap();
    session.bind(0, x).unwrap();
    let y = session.output_device(0).unwrap();
    device.copied();
    session.run(&[&[][..], &[0.0f32; 3]]).unwrap();
    assert_eq!(device.copied(), (1, 1), "h is copied to the device and back");
    let mut bytes = [0; 12];
    memory.download(&mut [(&*y, &mut bytes[..])]).unwrap();
    let want = [1.0f32, 2.0, 3.0].map(|x| 2.0 * x.tanh());
    assert_eq!(bytes, elements(want));
    let short = Fact::new(DType::F32, &[2]);
    let bound = session.bind(1, memory.alloc(&short).unwrap()).unwrap_err();
    let expected = InputError::Bound { name: "h".into(), expected: fact.clone(), found: short };
    assert_eq!(bound.to_string(), mindir::Error::from(expected).to_string());
    assert!(session.carry(1, 0).is_err(), "an input that is bound is not carried");
    session.bind(0, None).unwrap();
    session.run(&[&[0.5f32; 3], &[0.5; 3]]).unwrap();
    assert_eq!(session.fetch(0).unwrap(), Tensor::vector(&[2.0 * 1f32.tanh(); 3]));
}

#[test]
fn what_is_read_in_host_memory_stays_there() {
    let mut b = Builder::new("host");
    let x = b.input("x", Spec::fixed(DType::F32, &[3]));
    let y = b.op("ReLU", [x.into()]).unwrap();
    let inverse = b.op("Erfinv", [y.into()]).unwrap();
    let cell =
        GraphCell::new(b.finish(&[y, inverse]), Options::default().with_device(Arc::new(Plain::default()))).unwrap();
    let mut session = cell.session(&cell.exported_facts().unwrap()).unwrap();
    let refused = session.output_device(0).unwrap_err().to_string();
    assert_eq!(refused, "result 0 lies in host memory too, so that it cannot stay on a device");
    session.run(&[&[1.0f32, -1.0, 0.0]]).unwrap();
    assert_eq!(session.output::<f32>(1).unwrap(), [f32::INFINITY, 0.0, 0.0]);
}
