//! Running one test once for each of the four pollers.

/// What a worker waits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poller {
    /// Preference 300.
    Epoll,
    /// Preference 250, through the crate of that name.
    Polling,
    /// Preference 200.
    Poll,
    /// Preference 150.
    Select,
}

impl Poller {
    /// The options that turn the three others off.
    pub const fn flags(self) -> [&'static str; 3] {
        match self {
            Self::Epoll => ["-dk", "-dp", "-ds"],
            Self::Polling => ["-de", "-dp", "-ds"],
            Self::Poll => ["-de", "-dk", "-ds"],
            Self::Select => ["-de", "-dk", "-dp"],
        }
    }

    /// As `-vv` and the logs name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::Polling => "polling",
            Self::Poll => "poll",
            Self::Select => "select",
        }
    }
}

/// `per_poller!(sentence, …)`: makes four tests of each function that takes a [`Poller`].
#[macro_export]
macro_rules! per_poller {
    ($($name:ident),+ $(,)?) => { $(
        mod $name {
            #[test]
            fn with_epoll() {
                super::$name($crate::Poller::Epoll);
            }
            #[test]
            fn with_polling() {
                super::$name($crate::Poller::Polling);
            }
            #[test]
            fn with_poll() {
                super::$name($crate::Poller::Poll);
            }
            #[test]
            fn with_select() {
                super::$name($crate::Poller::Select);
            }
        }
    )+ };
}
