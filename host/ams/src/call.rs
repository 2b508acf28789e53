//! What is asked of AMS.

use std::fmt;

use crate::names::{Project, Subscription, Topic};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Publishing messages.
    Publish {
        /// The project.
        project: Project,
        /// The topic.
        topic: Topic,
        /// How many.
        messages: usize,
    },
    /// Pulling messages.
    Pull {
        /// The project.
        project: Project,
        /// The subscription.
        subscription: Subscription,
    },
    /// Acknowledging messages.
    Acknowledge {
        /// The project.
        project: Project,
        /// The subscription.
        subscription: Subscription,
    },
    /// Reading the offsets of a subscription.
    Offsets {
        /// The project.
        project: Project,
        /// The subscription.
        subscription: Subscription,
    },
    /// Looking whether a topic exists.
    Topic {
        /// The project.
        project: Project,
        /// The topic.
        topic: Topic,
    },
    /// Looking whether a subscription exists.
    Subscription {
        /// The project.
        project: Project,
        /// The subscription.
        subscription: Subscription,
    },
    /// Whether AMS is well.
    Status,
    /// Which AMS it is.
    Version,
}

impl Call {
    /// The path of its URL.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Publish { project, topic, .. } => format!("/v1/projects/{project}/topics/{topic}:publish"),
            Self::Pull { project, subscription } => format!("/v1/projects/{project}/subscriptions/{subscription}:pull"),
            Self::Acknowledge { project, subscription } => {
                format!("/v1/projects/{project}/subscriptions/{subscription}:acknowledge")
            }
            Self::Offsets { project, subscription } => {
                format!("/v1/projects/{project}/subscriptions/{subscription}:offsets")
            }
            Self::Topic { project, topic } => format!("/v1/projects/{project}/topics/{topic}"),
            Self::Subscription { project, subscription } => {
                format!("/v1/projects/{project}/subscriptions/{subscription}")
            }
            Self::Status => "/v1/status".to_owned(),
            Self::Version => "/v1/version".to_owned(),
        }
    }

    /// Whether a token must be sent ([Authentication](crate#authentication)).
    pub(crate) fn needs_token(&self) -> bool {
        !matches!(self, Self::Status | Self::Version)
    }

    /// Whether it changes something that counts when it is done twice or not at all. A pull only moves the window that
    /// may be acknowledged.
    pub(crate) fn changes(&self) -> bool {
        matches!(self, Self::Publish { .. } | Self::Acknowledge { .. })
    }
}

impl fmt::Display for Call {
    /// As it follows `cannot`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish { project, topic, .. } => write!(f, "publish to topic {topic} of project {project}"),
            Self::Pull { project, subscription } => {
                write!(f, "pull from subscription {subscription} of project {project}")
            }
            Self::Acknowledge { project, subscription } => {
                write!(f, "acknowledge messages of subscription {subscription} of project {project}")
            }
            Self::Offsets { project, subscription } => {
                write!(f, "read the offsets of subscription {subscription} of project {project}")
            }
            Self::Topic { project, topic } => write!(f, "look up topic {topic} of project {project}"),
            Self::Subscription { project, subscription } => {
                write!(f, "look up subscription {subscription} of project {project}")
            }
            Self::Status => f.write_str("read the status of AMS"),
            Self::Version => f.write_str("read the version of AMS"),
        }
    }
}
