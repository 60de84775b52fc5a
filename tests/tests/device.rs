//! A device from outside: every golden runs on one that is written here, with the plain kernels and memory of its own, and gives
//! MindSpore's numbers.

use std::any::Any;
use std::sync::{Arc, Mutex};

use mindir::device::{
    Declined, Device, DeviceError, DeviceMemory, DeviceTensor, Executable, Input, MemoryModel, Offer, Output, Place,
    Run, Stage, Step, TaskView, Weights,
};
use mindir::task::Task;
use mindir::{Fact, Fallback, GraphCell, Options, Tensor};
use mindir_kernels::plain;
use mindir_tests::compare::difference;
use mindir_tests::golden;

/// Computes everything but host tasks, one element after the other.
#[derive(Debug)]
struct Plain;

impl Device for Plain {
    fn name(&self) -> &str {
        "plain"
    }

    fn memory(&self) -> MemoryModel {
        MemoryModel::Buffers
    }

    fn own_memory(&self) -> Option<&dyn DeviceMemory> {
        Some(self)
    }

    fn offer(&self, view: TaskView<'_>) -> Result<Offer, Declined> {
        if let Task::Host(_) = view.task {
            return Err(Declined("it computes no host tasks".into()));
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
        for (bytes, tensor) in transfers {
            plain(*tensor).1.lock().unwrap().copy_from_slice(bytes);
        }
        Ok(())
    }

    fn download(&self, transfers: &mut [(&dyn DeviceTensor, &mut [u8])]) -> Result<(), DeviceError> {
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
    let options = Options { threads: Some(1), ..Options::default() }.with_device(Arc::new(Plain));
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
fn what_the_device_declines_is_named() {
    let golden = golden::read(&golden::folder().join("sort"));
    let options = Options { fallback: Fallback::Deny, ..Options::default() }.with_device(Arc::new(Plain));
    let cell = GraphCell::new(mindir::load(&golden.graph).unwrap(), options).unwrap();
    let error = cell.run(&golden.runs[0].inputs).unwrap_err().to_string();
    assert!(error.contains("plain: it computes no host tasks"), "{error}");
}
