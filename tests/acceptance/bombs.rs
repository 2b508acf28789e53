//! Components that no compiler makes, built to cost whoever compiles them dearly.

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
