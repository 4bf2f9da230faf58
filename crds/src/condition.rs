use crate::status::words;

words! {
    /// Which aspect of the installation a condition is about.
    ConditionType {
        /// Enough instances serve; stays True during a rollout while enough old ones do.
        Ready = "Ready",
        /// The cluster is being changed to match the specification.
        Reconciling = "Reconciling",
        /// Nothing more happens without human action.
        Stalled = "Stalled",
        /// The specification is valid.
        SpecValid = "SpecValid",
        /// All referenced Secrets and entries exist.
        CredentialsReady = "CredentialsReady",
        /// The database can be used.
        DatabaseReady = "DatabaseReady",
        /// The database's schema fits the image.
        SchemaUpToDate = "SchemaUpToDate",
        /// Enough instances are available.
        WorkloadAvailable = "WorkloadAvailable",
        /// The mirror of the platform is current.
        SyncHealthy = "SyncHealthy",
        /// The instances' pods match the current specification and secrets.
        UpToDate = "UpToDate",
        /// `paused` is set.
        Paused = "Paused",
    }
}

words! {
    /// Whether a condition holds.
    ConditionStatus {
        /// It holds.
        True = "True",
        /// It does not.
        False = "False",
        /// It is not known yet.
        Unknown = "Unknown",
    }
}

words! {
    /// Why a condition has its status.
    Reason {
        /// Not checked yet.
        Pending = "Pending",
        /// All instances serve.
        AllReady = "AllReady",
        /// Enough instances serve, but not all.
        EnoughReady = "EnoughReady",
        /// The schema has to be brought up to date first.
        MigrationPending = "MigrationPending",
        /// Instances are being started or replaced.
        RolloutInProgress = "RolloutInProgress",
        /// Too few instances serve.
        Degraded = "Degraded",
        /// `paused` is set.
        Paused = "Paused",
        /// `paused` is not set.
        NotPaused = "NotPaused",
        /// The cluster matches the specification.
        Converged = "Converged",
        /// Nothing blocks progress.
        Progressing = "Progressing",
        /// The specification is valid.
        Valid = "Valid",
        /// A value of the specification is invalid.
        InvalidSpec = "InvalidSpec",
        /// All referenced Secrets and entries exist.
        Resolved = "Resolved",
        /// A referenced Secret does not exist.
        SecretNotFound = "SecretNotFound",
        /// A referenced Secret lacks an entry.
        KeyMissing = "KeyMissing",
        /// An entry of a referenced Secret cannot be used.
        InvalidCredentials = "InvalidCredentials",
        /// The operator lacks a right in the cluster.
        Forbidden = "Forbidden",
        /// The API server refused an object.
        Rejected = "Rejected",
        /// An object of this name belongs to another owner.
        NameConflict = "NameConflict",
        /// The database answered.
        Reachable = "Reachable",
        /// The database did not answer.
        Unreachable = "Unreachable",
        /// The database has no room left.
        StorageFull = "StorageFull",
        /// Another installation has claimed the database.
        OwnedByAnother = "OwnedByAnother",
        /// The database was filled with another encryption key.
        EncryptionKeyMismatch = "EncryptionKeyMismatch",
        /// The schema fits the image.
        Applied = "Applied",
        /// The migration runs.
        Running = "Running",
        /// The migration failed, and is retried unless Stalled says otherwise.
        Failed = "Failed",
        /// The migration failed too often.
        BackoffLimitExceeded = "BackoffLimitExceeded",
        /// The migration took too long.
        DeadlineExceeded = "DeadlineExceeded",
        /// The schema is newer than the image can serve.
        NewerSchema = "NewerSchema",
        /// The database has a migration that differs from the image's.
        DirtySchema = "DirtySchema",
        /// Enough instances are available.
        MinimumReplicasAvailable = "MinimumReplicasAvailable",
        /// An image cannot be pulled.
        ImagePullError = "ImagePullError",
        /// A container cannot be created.
        ContainerConfigError = "ContainerConfigError",
        /// Instances exit soon after they start.
        CrashLooping = "CrashLooping",
        /// No node can run a pod.
        Unschedulable = "Unschedulable",
        /// A quota or an admission rule keeps pods from being created.
        QuotaExceeded = "QuotaExceeded",
        /// Instances did not get ready in time.
        ProgressDeadlineExceeded = "ProgressDeadlineExceeded",
        /// Every mirrored entity is current.
        Healthy = "Healthy",
        /// An entity has not been mirrored for too long.
        Late = "Late",
        /// The last run of an entity failed.
        SyncFailing = "SyncFailing",
        /// Nothing is mirrored.
        SyncDisabled = "SyncDisabled",
        /// No instance reported its health.
        ServerUnreachable = "ServerUnreachable",
        /// Pods match the current specification and secrets.
        Current = "Current",
        /// Pods run another image than the specification names.
        ImageChanged = "ImageChanged",
        /// A referenced Secret has changed since pods were created.
        SecretChanged = "SecretChanged",
        /// Another part of the specification changed.
        SpecChanged = "SpecChanged",
    }
}
