//! Requests over HTTP by operators in every language with an SDK, in a job that grants a host, to a server of the test's own.

use crate::misbehave::lines_in;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tidewheel_guest::{Runtime, RuntimeOptions};
use tidewheel_tests::{folder_with, guest, run};
use tokio::sync::Barrier;

/// So many requests of `/together` are answered once they all have come.
const TOGETHER: usize = 8;

async fn answer(request: Request<Incoming>, together: Arc<Barrier>) -> Result<Response<String>, Infallible> {
    let header = |name: &str| request.headers().get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
    let (method, asked, response) = (request.method().clone(), header("x-asked"), Response::builder());
    let response = match request.uri().path() {
        "/echo" => {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let said = format!("{method} {}", String::from_utf8_lossy(&body));
            response.header("x-asked", asked).header("x-more", "1").body(said)
        }
        "/numbers" => response.body("[1, 20, 300]".to_owned()),
        "/away" => response.status(302).header("location", "/echo").body(String::new()),
        "/never" => std::future::pending().await,
        "/together" => {
            together.wait().await;
            response.body(String::new())
        }
        _ => response.status(404).body("it is not there".to_owned()),
    };
    Ok(response.unwrap())
}

/// Starts a server. It answers until the test program ends.
fn server() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (listener, together) =
                (tokio::net::TcpListener::from_std(listener).unwrap(), Arc::new(Barrier::new(TOGETHER)));
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let together = together.clone();
                let service = service_fn(move |request| answer(request, together.clone()));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service),
                );
            }
        });
    });
    address
}

/// A job whose operator may send requests to this host.
fn job(component: &str, host: &SocketAddr) -> String {
    format!(
        "name = 'asks'
[sources.lines]
connector = 'file'
path = 'in.txt'
format = 'lines'
[operators.op]
component = '{}'
input = 'lines'
grants = ['http:{host}']
[sinks.out]
connector = 'file'
input = 'op'
path = 'out/'
format = 'lines'
",
        guest(component).display()
    )
}

/// What becomes of these lines in a language.
#[track_caller]
fn answers(component: &str, host: &SocketAddr, lines: &[String]) -> Vec<String> {
    let folder = folder_with(&[("job.toml", &job(component, host)), ("in.txt", &lines.join("\n"))]);
    let ended = run(folder.path(), &["run", "-q", "job.toml"]);
    assert_eq!(ended.code, 0, "{component}: {}", ended.stderr);
    lines_in(&folder.path().join("out"))
}

#[test]
fn an_operator_in_any_language_gets_the_same_answers_from_a_host_it_is_granted() {
    let (host, other) = (server(), server());
    let requests = [
        format!("GET http://{host}/echo"),
        format!("POST http://{host}/echo x-asked:yes body=hello timeout=5000"),
        format!("GET http://{host}/missing|GET http://{host}/away|GET http://{host}/never timeout=30"),
        format!("GET http://{other}/other|GET http://{host}/numbers sum"),
        format!("GET http://{host}/nowhere sum|POST http://{host}/echo body=[1 x-asked:no sum"),
        "GET file:///etc/passwd".to_owned(),
        format!("GET http://{host}/bad a:b\u{1}"),
    ];
    let not_read = "the answer cannot be read: ";
    let expected = [
        "away 302 ".to_owned(),
        "bad NotARequest: the header a has a value that cannot be sent".to_owned(),
        format!("echo Body: {not_read}"),
        "echo 200 x-asked=- x-more=1 GET ".to_owned(),
        "echo 200 x-asked=yes x-more=1 POST hello".to_owned(),
        "missing 404 it is not there".to_owned(),
        "never TimedOut: there was no whole answer within 30 ms".to_owned(),
        "nowhere Status: answered with 404".to_owned(),
        "numbers sum 321".to_owned(),
        format!("other NotGranted: the job does not grant {other}: add \"http:{other}\" to the grants of the operator"),
        "passwd NotARequest: the scheme of the URL is \"file\", not http or https".to_owned(),
    ];
    for component in ["asks-sdk", "asks-go", "asks-python"] {
        let mut answers = answers(component, &host, &requests);
        // How JSON is wrong is said in each language's own words.
        answers.iter_mut().filter(|line| line.starts_with("echo Body")).for_each(|line| {
            line.truncate(line.find(not_read).map_or(0, |at| at + not_read.len()));
        });
        answers.sort();
        let mut expected = expected.clone();
        expected.sort();
        assert_eq!(answers, expected, "{component}");
    }
}

/// The server answers none of them before others have come.
#[test]
fn requests_of_one_call_are_under_way_together_in_any_language() {
    let host = server();
    let line = vec![format!("GET http://{host}/together timeout=60000"); 10 * TOGETHER].join("|");
    for component in ["asks-sdk", "asks-go", "asks-python"] {
        let answers = answers(component, &host, std::slice::from_ref(&line));
        assert_eq!(answers, ["together 200 "; 10 * TOGETHER], "{component}");
    }
}

#[test]
fn an_operator_that_sends_nothing_imports_nothing_that_sends() {
    let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
    for (component, sends) in [("asks-sdk", true), ("marks-sdk", false), ("asks-go", true), ("marks-go", false)] {
        let component = runtime.load(&guest(component)).unwrap();
        let imports = component.imports();
        assert_eq!(imports.iter().any(|import| import.name.contains("operator/http")), sends, "{imports:?}");
    }
}
