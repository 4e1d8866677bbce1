use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use axum::Router;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::*;

/// Answers with the next address each time, and with the last one from then on.
struct Scripted(Mutex<(VecDeque<Ipv4Addr>, usize)>);

impl Scripted {
    fn new(answers: &[[u8; 4]]) -> Arc<Self> {
        Arc::new(Self(Mutex::new((answers.iter().map(|octets| (*octets).into()).collect(), 0))))
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

impl Resolve for Scripted {
    fn resolve(&self, _name: Name) -> Resolving {
        let (answers, asked) = &mut *self.0.lock().unwrap();
        *asked += 1;
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() };
        let addresses: Vec<SocketAddr> = answer.map(|address| (address, 0).into()).into_iter().collect();
        Box::pin(async move { Ok(Box::new(addresses.into_iter()) as Addrs) })
    }
}

/// Plain HTTP servers at these addresses of loopback, all on one port; each counts who came.
struct Place {
    port: u16,
    visits: Vec<Arc<Mutex<usize>>>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Place {
    async fn at(addresses: &[[u8; 4]], answer: fn(u16) -> Response) -> Self {
        let first = tokio::net::TcpListener::bind((Ipv4Addr::from(addresses[0]), 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut listeners = vec![first];
        for address in &addresses[1..] {
            listeners.push(tokio::net::TcpListener::bind((Ipv4Addr::from(*address), port)).await.unwrap());
        }
        let (mut visits, mut tasks) = (Vec::new(), Vec::new());
        for listener in listeners {
            let count = Arc::new(Mutex::new(0));
            visits.push(count.clone());
            let handler = move || {
                *count.lock().unwrap() += 1;
                async move { answer(port) }
            };
            let routes = Router::new().route("/", get(handler)).route("/secret", get(async || "secret"));
            let serving = async move { axum::serve(listener, routes).await.unwrap() };
            tasks.push(AbortOnDropHandle::new(TaskTracker::new().spawn(serving)));
        }
        Self { port, visits, _tasks: tasks }
    }

    fn visits(&self) -> Vec<usize> {
        self.visits.iter().map(|count| *count.lock().unwrap()).collect()
    }
}

fn hello(_port: u16) -> Response {
    "hello".into_response()
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

/// Nothing but what is public, and this network.
fn and(network: &str) -> config::Egress {
    config::Egress { networks: vec![network.parse().unwrap()], hosts: Vec::new() }
}

fn public() -> Egress {
    Egress::new(&config::Egress::default()).unwrap()
}

#[tokio::test]
async fn f56_a_dns_answer_that_changes_after_the_check_changes_nothing() {
    let place = Place::at(&[[127, 0, 0, 2], [127, 0, 0, 1]], hello).await;
    let lookup = Scripted::new(&[[127, 0, 0, 2], [127, 0, 0, 1]]);
    let url = url(&format!("http://rebound.test:{}/", place.port));
    let egress = Egress::with_lookup(&and("127.0.0.2/32"), lookup.clone()).unwrap();
    let client = egress.named.clone();

    // Checked and connected by one look.
    assert_eq!(client.get(url.clone()).send().await.unwrap().text().await.unwrap(), "hello");
    assert_eq!((lookup.asked(), place.visits()), (1, vec![1, 0]));

    // From the next connection on the name leads inside.
    let fresh = Egress::with_lookup(&and("127.0.0.2/32"), lookup.clone()).unwrap();
    let error = causes(fresh.named.get(url).send().await.unwrap_err());
    assert!(error.contains("`rebound.test` has no address"), "{error}");
    assert_eq!(place.visits(), [1, 0]);
}

#[tokio::test]
async fn f56_a_redirect_is_checked_like_the_first_url() {
    fn to_the_inside(port: u16) -> Response {
        Redirect::temporary(&format!("http://127.0.0.1:{port}/secret")).into_response()
    }
    let place = Place::at(&[[127, 0, 0, 2], [127, 0, 0, 1]], to_the_inside).await;
    let start = url(&format!("http://127.0.0.2:{}/", place.port));
    let egress = public().with_own([start.clone()]);
    let error = egress.get(&start).await.unwrap_err();
    assert!(matches!(error, EgressError::Refused { .. }), "{error}");
    assert_eq!(place.visits(), [1, 0]);
    // The same place, were it the administrator's own.
    let both = egress.with_own([start.clone(), url(&format!("http://127.0.0.1:{}/", place.port))]);
    assert_eq!(both.get(&start).await.unwrap().body, "secret");
}

#[tokio::test]
async fn redirects_come_to_an_end() {
    fn in_circles(_port: u16) -> Response {
        Redirect::temporary("/").into_response()
    }
    let place = Place::at(&[[127, 0, 0, 1]], in_circles).await;
    let start = url(&format!("http://127.0.0.1:{}/", place.port));
    let error = public().with_own([start.clone()]).get(&start).await.unwrap_err();
    assert!(error.to_string().contains("too often"), "{error}");
    assert_eq!(place.visits(), [MAX_REDIRECTS + 1]);
}

#[tokio::test]
async fn f56_a_client_for_own_urls_stays_in_their_origin() {
    fn add_a_slash(_port: u16) -> Response {
        Redirect::temporary("/secret").into_response()
    }
    fn elsewhere(port: u16) -> Response {
        Redirect::temporary(&format!("http://127.0.0.1:{port}/secret")).into_response()
    }
    let client = public().client_for_own_urls().build().unwrap();
    let place = Place::at(&[[127, 0, 0, 2]], add_a_slash).await;
    let answer = client.get(format!("http://127.0.0.2:{}/", place.port)).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "secret");
    let place = Place::at(&[[127, 0, 0, 2], [127, 0, 0, 1]], elsewhere).await;
    let answer = client.get(format!("http://127.0.0.2:{}/", place.port)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test]
async fn f56_not_even_the_administrators_names_lead_to_the_metadata_service() {
    let lookup = Scripted::new(&[[169, 254, 169, 254]]);
    let client = Egress::with_lookup(&config::Egress::default(), lookup)
        .unwrap()
        .client_for_own_urls()
        .build()
        .unwrap();
    let error = causes(client.get("http://mcp.test/").send().await.unwrap_err());
    assert!(error.contains("`mcp.test` has no address"), "{error}");
}

#[test]
fn f56_what_others_name_is_https_and_public() {
    let egress = Egress::new(&and("10.1.0.0/16")).unwrap().with_own([url("http://10.0.0.7:8080/mcp")]);
    for fine in [
        "https://auth.example.com/token",
        "https://8.8.8.8/",
        "https://10.1.2.3/token",
        "http://10.0.0.7:8080/.well-known/oauth-authorization-server",
    ] {
        assert!(egress.may_name(&url(fine)).is_ok(), "{fine}");
    }
    for wrong in [
        "http://auth.example.com/token",
        "https://127.0.0.1/token",
        "https://2130706433/token",
        "https://0x7f.1/token",
        "https://[::1]/token",
        "https://[::ffff:169.254.169.254]/latest",
        "https://10.0.0.7/token",
        "http://10.0.0.7:9090/token",
        "http://10.1.2.3/token",
        "file:///etc/passwd",
        "gopher://10.0.0.7:8080/",
    ] {
        assert!(egress.may_name(&url(wrong)).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_not_read() {
    fn endless(_port: u16) -> Response {
        axum::body::Body::from_stream(futures::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 4096]))
        }))
        .into_response()
    }
    let place = Place::at(&[[127, 0, 0, 1]], endless).await;
    let start = url(&format!("http://127.0.0.1:{}/", place.port));
    let error = public().with_own([start.clone()]).get(&start).await.unwrap_err();
    assert!(matches!(error, EgressError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn f56_a_proxy_is_not_sent_where_the_gateway_may_not_go() {
    let behind_a_proxy = |address: [u8; 4], opened: &[&str]| {
        let hosts = opened.iter().map(|host| (*host).to_owned()).collect();
        let allow = config::Egress { networks: Vec::new(), hosts };
        let rules = Rules { allow, proxies: vec!["proxy.test".to_owned()] };
        Egress::with_rules(rules, Scripted::new(&[address])).unwrap()
    };
    let inside = url("https://named.test/");
    for address in [[10, 0, 0, 9], [169, 254, 169, 254]] {
        let error = behind_a_proxy(address, &[]).check_for_proxy(&inside).await.unwrap_err();
        assert!(error.to_string().contains("not public"), "{error}");
    }
    assert!(behind_a_proxy([93, 184, 216, 34], &[]).check_for_proxy(&inside).await.is_ok());
    assert!(behind_a_proxy([10, 0, 0, 9], &["named.test"]).check_for_proxy(&inside).await.is_ok());

    // The proxy itself may be inside, but is no place that others name.
    let proxy = url("https://Proxy.test:8443/");
    assert!(behind_a_proxy([10, 0, 0, 9], &[]).may_name(&proxy).is_err());
    assert!(behind_a_proxy([10, 0, 0, 9], &["proxy.test"]).may_name(&proxy).is_ok());
}
