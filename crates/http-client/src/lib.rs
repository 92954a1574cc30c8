//! One kept HTTP/1.1 connection to one server: bounded answers, no redirects, no proxies, no surprises from the environment.
