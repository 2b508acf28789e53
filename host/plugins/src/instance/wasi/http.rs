//! HTTP: requests can be built, but sending one fails, and nothing is ever received.

use wasmtime::component::Resource;

use super::bindings::wasi::http::outgoing_handler;
use super::bindings::wasi::http::types::{
    self, ErrorCode, FutureIncomingResponse, FutureTrailers, HeaderError, IncomingBody, IncomingRequest,
    IncomingResponse, Method, ResponseOutparam, Scheme,
};
use super::bindings::wasi::io::error::Error;
use super::clocks::Pollable;
use super::never_given;
use super::streams::{Input, Output};
use crate::instance::state::HostState;

/// The most bytes that the fields of one message, or one other part of a request, may have.
const ROOM: usize = 64 << 10;
/// The size of a pair of name and value besides its bytes: empty pairs cost the host memory and time too.
const PAIR: usize = 64;

type Pair = (String, Vec<u8>);

/// Headers or trailers.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<Pair>);

/// A request that will not be sent.
#[derive(Debug)]
pub struct Request {
    headers: Fields,
    method: Method,
    path: Option<String>,
    scheme: Option<Scheme>,
    authority: Option<String>,
    body_taken: bool,
}

/// Timeouts, which are never used.
#[derive(Debug)]
pub struct Options;

/// A response that is never received.
#[derive(Debug)]
pub struct Response {
    headers: Fields,
    status: u16,
    body_taken: bool,
}

/// What would have been sent.
#[derive(Debug, Default)]
pub struct Body {
    written: bool,
}

impl Fields {
    fn is(name: &str) -> impl Fn(&Pair) -> bool {
        move |(other, _)| other.eq_ignore_ascii_case(name)
    }

    fn add(&mut self, name: &str, value: Vec<u8>) -> Result<(), HeaderError> {
        let size = |name: &str, value: &[u8]| name.len() + value.len() + PAIR;
        let held: usize = self.0.iter().map(|(name, value)| size(name, value)).sum();
        if held + size(name, &value) > ROOM {
            return Err(HeaderError::Forbidden);
        }
        self.0.push((name.to_owned(), value));
        Ok(())
    }
}

fn fits(text: Option<&str>) -> Result<(), ()> {
    if text.is_none_or(|text| text.len() <= ROOM) { Ok(()) } else { Err(()) }
}

impl HostState {
    fn fields(&mut self, fields: &Resource<Fields>) -> wasmtime::Result<&mut Fields> {
        Ok(self.wasi.table.get_mut(fields)?)
    }

    fn request(&mut self, request: &Resource<Request>) -> wasmtime::Result<&mut Request> {
        Ok(self.wasi.table.get_mut(request)?)
    }

    fn response(&mut self, response: &Resource<Response>) -> wasmtime::Result<&mut Response> {
        Ok(self.wasi.table.get_mut(response)?)
    }
}

impl outgoing_handler::Host for HostState {
    fn handle(
        &mut self,
        request: Resource<Request>,
        options: Option<Resource<Options>>,
    ) -> wasmtime::Result<Result<Resource<FutureIncomingResponse>, ErrorCode>> {
        self.wasi.table.delete(request)?;
        options.map(|options| self.wasi.table.delete(options)).transpose()?;
        Ok(Err(ErrorCode::HttpRequestDenied))
    }
}

impl types::Host for HostState {
    fn http_error_code(&mut self, error: Resource<Error>) -> wasmtime::Result<Option<ErrorCode>> {
        match *self.wasi.table.get(&error)? {}
    }
}

impl types::HostFields for HostState {
    fn new(&mut self) -> wasmtime::Result<Resource<Fields>> {
        self.wasi.push(Fields::default())
    }

    fn from_list(&mut self, pairs: Vec<Pair>) -> wasmtime::Result<Result<Resource<Fields>, HeaderError>> {
        let mut fields = Fields::default();
        let added = pairs.into_iter().try_for_each(|(name, value)| fields.add(&name, value));
        added.map(|()| self.wasi.push(fields)).map_or_else(|refused| Ok(Err(refused)), |fields| fields.map(Ok))
    }

    fn get(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        let is = Fields::is(&name);
        Ok(self.fields(&fields)?.0.iter().filter(|pair| is(pair)).map(|(_, value)| value.clone()).collect())
    }

    fn has(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<bool> {
        Ok(self.fields(&fields)?.0.iter().any(Fields::is(&name)))
    }

    fn set(
        &mut self,
        fields: Resource<Fields>,
        name: String,
        values: Vec<Vec<u8>>,
    ) -> wasmtime::Result<Result<(), HeaderError>> {
        let (fields, is) = (self.fields(&fields)?, Fields::is(&name));
        fields.0.retain(|pair| !is(pair));
        Ok(values.into_iter().try_for_each(|value| fields.add(&name, value)))
    }

    fn delete(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<Result<(), HeaderError>> {
        let is = Fields::is(&name);
        self.fields(&fields)?.0.retain(|pair| !is(pair));
        Ok(Ok(()))
    }

    fn append(
        &mut self,
        fields: Resource<Fields>,
        name: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), HeaderError>> {
        Ok(self.fields(&fields)?.add(&name, value))
    }

    fn entries(&mut self, fields: Resource<Fields>) -> wasmtime::Result<Vec<Pair>> {
        Ok(self.fields(&fields)?.0.clone())
    }

    fn clone(&mut self, fields: Resource<Fields>) -> wasmtime::Result<Resource<Fields>> {
        let copy = self.fields(&fields)?.clone();
        self.wasi.push(copy)
    }

    fn drop(&mut self, fields: Resource<Fields>) -> wasmtime::Result<()> {
        self.wasi.table.delete(fields)?;
        Ok(())
    }
}

impl types::HostOutgoingRequest for HostState {
    fn new(&mut self, headers: Resource<Fields>) -> wasmtime::Result<Resource<Request>> {
        let headers = self.wasi.table.delete(headers)?;
        let (path, scheme, authority) = (None, None, None);
        self.wasi.push(Request { headers, method: Method::Get, path, scheme, authority, body_taken: false })
    }

    fn body(&mut self, request: Resource<Request>) -> wasmtime::Result<Result<Resource<Body>, ()>> {
        if std::mem::replace(&mut self.request(&request)?.body_taken, true) {
            return Ok(Err(()));
        }
        self.wasi.push(Body::default()).map(Ok)
    }

    fn method(&mut self, request: Resource<Request>) -> wasmtime::Result<Method> {
        Ok(self.request(&request)?.method.clone())
    }

    fn set_method(&mut self, request: Resource<Request>, method: Method) -> wasmtime::Result<Result<(), ()>> {
        let other = if let Method::Other(name) = &method { Some(name.as_str()) } else { None };
        let fits = fits(other);
        let request = self.request(&request)?;
        Ok(fits.map(|()| request.method = method))
    }

    fn path_with_query(&mut self, request: Resource<Request>) -> wasmtime::Result<Option<String>> {
        Ok(self.request(&request)?.path.clone())
    }

    fn set_path_with_query(
        &mut self,
        request: Resource<Request>,
        path: Option<String>,
    ) -> wasmtime::Result<Result<(), ()>> {
        let request = self.request(&request)?;
        Ok(fits(path.as_deref()).map(|()| request.path = path))
    }

    fn scheme(&mut self, request: Resource<Request>) -> wasmtime::Result<Option<Scheme>> {
        Ok(self.request(&request)?.scheme.clone())
    }

    fn set_scheme(&mut self, request: Resource<Request>, scheme: Option<Scheme>) -> wasmtime::Result<Result<(), ()>> {
        let other = if let Some(Scheme::Other(name)) = &scheme { Some(name.as_str()) } else { None };
        let fits = fits(other);
        let request = self.request(&request)?;
        Ok(fits.map(|()| request.scheme = scheme))
    }

    fn authority(&mut self, request: Resource<Request>) -> wasmtime::Result<Option<String>> {
        Ok(self.request(&request)?.authority.clone())
    }

    fn set_authority(&mut self, request: Resource<Request>, name: Option<String>) -> wasmtime::Result<Result<(), ()>> {
        let request = self.request(&request)?;
        Ok(fits(name.as_deref()).map(|()| request.authority = name))
    }

    fn headers(&mut self, request: Resource<Request>) -> wasmtime::Result<Resource<Fields>> {
        let headers = self.request(&request)?.headers.clone();
        self.wasi.push(headers)
    }

    fn drop(&mut self, request: Resource<Request>) -> wasmtime::Result<()> {
        self.wasi.table.delete(request)?;
        Ok(())
    }
}

/// The interface allows that a timeout cannot be set.
impl types::HostRequestOptions for HostState {
    fn new(&mut self) -> wasmtime::Result<Resource<Options>> {
        self.wasi.push(Options)
    }

    fn connect_timeout(&mut self, _: Resource<Options>) -> wasmtime::Result<Option<u64>> {
        Ok(None)
    }

    fn set_connect_timeout(&mut self, _: Resource<Options>, _: Option<u64>) -> wasmtime::Result<Result<(), ()>> {
        Ok(Err(()))
    }

    fn first_byte_timeout(&mut self, _: Resource<Options>) -> wasmtime::Result<Option<u64>> {
        Ok(None)
    }

    fn set_first_byte_timeout(&mut self, _: Resource<Options>, _: Option<u64>) -> wasmtime::Result<Result<(), ()>> {
        Ok(Err(()))
    }

    fn between_bytes_timeout(&mut self, _: Resource<Options>) -> wasmtime::Result<Option<u64>> {
        Ok(None)
    }

    fn set_between_bytes_timeout(&mut self, _: Resource<Options>, _: Option<u64>) -> wasmtime::Result<Result<(), ()>> {
        Ok(Err(()))
    }

    fn drop(&mut self, options: Resource<Options>) -> wasmtime::Result<()> {
        self.wasi.table.delete(options)?;
        Ok(())
    }
}

impl types::HostOutgoingResponse for HostState {
    fn new(&mut self, headers: Resource<Fields>) -> wasmtime::Result<Resource<Response>> {
        let headers = self.wasi.table.delete(headers)?;
        self.wasi.push(Response { headers, status: 200, body_taken: false })
    }

    fn status_code(&mut self, response: Resource<Response>) -> wasmtime::Result<u16> {
        Ok(self.response(&response)?.status)
    }

    fn set_status_code(&mut self, response: Resource<Response>, status: u16) -> wasmtime::Result<Result<(), ()>> {
        self.response(&response)?.status = status;
        Ok(Ok(()))
    }

    fn headers(&mut self, response: Resource<Response>) -> wasmtime::Result<Resource<Fields>> {
        let headers = self.response(&response)?.headers.clone();
        self.wasi.push(headers)
    }

    fn body(&mut self, response: Resource<Response>) -> wasmtime::Result<Result<Resource<Body>, ()>> {
        if std::mem::replace(&mut self.response(&response)?.body_taken, true) {
            return Ok(Err(()));
        }
        self.wasi.push(Body::default()).map(Ok)
    }

    fn drop(&mut self, response: Resource<Response>) -> wasmtime::Result<()> {
        self.wasi.table.delete(response)?;
        Ok(())
    }
}

impl types::HostOutgoingBody for HostState {
    fn write(&mut self, body: Resource<Body>) -> wasmtime::Result<Result<Resource<Output>, ()>> {
        if std::mem::replace(&mut self.wasi.table.get_mut(&body)?.written, true) {
            return Ok(Err(()));
        }
        self.wasi.push(Output::Nowhere).map(Ok)
    }

    fn finish(
        &mut self,
        body: Resource<Body>,
        trailers: Option<Resource<Fields>>,
    ) -> wasmtime::Result<Result<(), ErrorCode>> {
        self.wasi.table.delete(body)?;
        trailers.map(|trailers| self.wasi.table.delete(trailers)).transpose()?;
        Ok(Ok(()))
    }

    fn drop(&mut self, body: Resource<Body>) -> wasmtime::Result<()> {
        self.wasi.table.delete(body)?;
        Ok(())
    }
}

never_given!(types::HostIncomingRequest for IncomingRequest {
    method(Resource<IncomingRequest>) -> Method;
    path_with_query(Resource<IncomingRequest>) -> Option<String>;
    scheme(Resource<IncomingRequest>) -> Option<Scheme>;
    authority(Resource<IncomingRequest>) -> Option<String>;
    headers(Resource<IncomingRequest>) -> Resource<Fields>;
    consume(Resource<IncomingRequest>) -> Result<Resource<IncomingBody>, ()>;
});

never_given!(types::HostResponseOutparam for ResponseOutparam {
    set(Resource<ResponseOutparam>, Result<Resource<Response>, ErrorCode>) -> ();
});

never_given!(types::HostIncomingResponse for IncomingResponse {
    status(Resource<IncomingResponse>) -> u16;
    headers(Resource<IncomingResponse>) -> Resource<Fields>;
    consume(Resource<IncomingResponse>) -> Result<Resource<IncomingBody>, ()>;
});

never_given!(types::HostIncomingBody for IncomingBody {
    stream(Resource<IncomingBody>) -> Result<Resource<Input>, ()>;
    finish(Resource<IncomingBody>) -> Resource<FutureTrailers>;
});

never_given!(types::HostFutureTrailers for FutureTrailers {
    subscribe(Resource<FutureTrailers>) -> Resource<Pollable>;
    get(Resource<FutureTrailers>) -> Option<Result<Result<Option<Resource<Fields>>, ErrorCode>, ()>>;
});

never_given!(types::HostFutureIncomingResponse for FutureIncomingResponse {
    subscribe(Resource<FutureIncomingResponse>) -> Resource<Pollable>;
    get(Resource<FutureIncomingResponse>) -> Option<Result<Result<Resource<IncomingResponse>, ErrorCode>, ()>>;
});
