//! Components that no compiler makes, built to make their compilation expensive.

use wasm_encoder::{
    BlockType, CodeSection, Component, Function, FunctionSection, Instruction as I, Module, ModuleSection, TypeSection,
    ValType,
};

/// A component around a core module of these functions.
fn component(bodies: impl Iterator<Item = Function>) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], [ValType::I32]);
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    for body in bodies {
        functions.function(0);
        code.function(&body);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    let mut component = Component::new();
    component.section(&ModuleSection(&module));
    component.finish()
}

/// One function of about so many bytes, all of it arithmetic.
pub(crate) fn one_huge_function(bytes: usize) -> Vec<u8> {
    let mut body = Function::new([]);
    body.instruction(&I::LocalGet(0));
    while body.byte_len() < bytes {
        body.instruction(&I::I32Const(0x7eee_eeee))
            .instruction(&I::I32Mul)
            .instruction(&I::LocalGet(0))
            .instruction(&I::I32Xor);
    }
    body.instruction(&I::End);
    component(std::iter::once(body))
}

/// One function whose blocks lie in one another, each with a branch to all around it.
pub(crate) fn one_function_of_nested_branches(depth: u32) -> Vec<u8> {
    let mut body = Function::new([]);
    for _ in 0..depth {
        body.instruction(&I::Block(BlockType::Empty));
    }
    for level in 0..depth {
        let targets: Vec<u32> = (0..depth - level).collect();
        body.instruction(&I::LocalGet(0)).instruction(&I::BrTable(targets.into(), 0)).instruction(&I::End);
    }
    body.instruction(&I::LocalGet(0)).instruction(&I::End);
    component(std::iter::once(body))
}

/// So many small functions.
pub(crate) fn many_functions(count: usize) -> Vec<u8> {
    component((0..count).map(|number| {
        let mut body = Function::new([(4, ValType::I64)]);
        body.instruction(&I::LocalGet(0)).instruction(&I::I32Const(number as i32)).instruction(&I::I32Add);
        body.instruction(&I::End);
        body
    }))
}

/// The section of a component that holds a module of so many functions, each of which takes a while to compile.
fn module_section(functions: usize) -> Vec<u8> {
    fn number(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let low = (value & 0x7f) as u8;
            value >>= 7;
            if value == 0 {
                bytes.push(low);
                return bytes;
            }
            bytes.push(low | 0x80);
        }
    }
    let section = |id: u8, content: Vec<u8>| [vec![id], number(content.len()), content].concat();
    // One local of type i32, then: local = local * local + i, again and again.
    let step = |i: usize| [0x20, 0, 0x20, 0, 0x6c, 0x41, (i % 64) as u8, 0x6a, 0x21, 0];
    let function = [vec![1, 1, 0x7f], (0..20_000).flat_map(step).collect(), vec![0x0b]].concat();
    let declared = [number(functions), vec![0; functions]].concat();
    let bodies: Vec<u8> = (0..functions).flat_map(|_| [number(function.len()), function.clone()].concat()).collect();
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, vec![1, 0x60, 0, 0]),
        section(3, declared),
        section(10, [number(functions), bodies].concat()),
    ]
    .concat();
    section(1, module)
}

/// A component whose compilation takes many seconds, and which is no plugin in the end.
pub(crate) fn ponderous() -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0".to_vec(), module_section(300)].concat()
}

/// A component with everything that a plugin has, and a bomb in it that nothing uses.
pub(crate) fn laid_in(plugin: &[u8], bomb: &[u8]) -> Vec<u8> {
    let sections = bomb.strip_prefix(b"\0asm\x0d\0\x01\0").unwrap();
    [plugin, sections].concat()
}

/// Put at the end of a component it makes its compilation take some seconds, and changes nothing else.
pub(crate) fn slow_section() -> Vec<u8> {
    module_section(200)
}
