use crate::status::words;

words! {
    /// Which aspect of the installation a condition is about.
    ConditionType {
        /// Enough instances serve; stays True during a roll while enough old ones do.
        Ready = "Ready",
        /// The cluster is being brought to what the specification asks for.
        Reconciling = "Reconciling",
        /// Nothing more will happen without a human.
        Stalled = "Stalled",
        /// The specification can be followed.
        SpecValid = "SpecValid",
        /// All referenced Secrets and entries are there.
        CredentialsReady = "CredentialsReady",
        /// The database can be used.
        DatabaseReady = "DatabaseReady",
        /// The database's schema fits the image.
        SchemaUpToDate = "SchemaUpToDate",
        /// Enough instances are available.
        WorkloadAvailable = "WorkloadAvailable",
        /// The mirror of the platform is current.
        SyncHealthy = "SyncHealthy",
        /// The instances' pods are made from the present specification and secrets.
        UpToDate = "UpToDate",
        /// The operator was asked to change nothing.
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
        /// It cannot be told yet.
        Unknown = "Unknown",
    }
}

words! {
    /// Why a condition has its status.
    Reason {
        /// Not looked at yet.
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
        /// Everything asked for is done.
        Converged = "Converged",
        /// Nothing stands in the way.
        Progressing = "Progressing",
        /// The specification can be followed.
        Valid = "Valid",
        /// A value of the specification cannot be followed.
        InvalidSpec = "InvalidSpec",
        /// All referenced Secrets and entries are there.
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
        /// An object of this name belongs to somebody else.
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
        /// The migration failed, and is tried again unless Stalled says otherwise.
        Failed = "Failed",
        /// The migration failed as often as it may.
        BackoffLimitExceeded = "BackoffLimitExceeded",
        /// The migration took too long.
        DeadlineExceeded = "DeadlineExceeded",
        /// The schema is newer than the image can serve.
        NewerSchema = "NewerSchema",
        /// A migration that the database has is not that of the image.
        DirtySchema = "DirtySchema",
        /// Enough instances are available.
        MinimumReplicasAvailable = "MinimumReplicasAvailable",
        /// An image cannot be pulled.
        ImagePullError = "ImagePullError",
        /// A container cannot be made.
        ContainerConfigError = "ContainerConfigError",
        /// Instances end soon after their start.
        CrashLooping = "CrashLooping",
        /// No node takes a pod.
        Unschedulable = "Unschedulable",
        /// A quota or an admission rule keeps pods from being made.
        QuotaExceeded = "QuotaExceeded",
        /// Instances did not get ready in time.
        ProgressDeadlineExceeded = "ProgressDeadlineExceeded",
        /// Every mirrored entity is current.
        Healthy = "Healthy",
        /// An entity was not mirrored for too long.
        Late = "Late",
        /// The last run of an entity failed.
        SyncFailing = "SyncFailing",
        /// Nothing is mirrored.
        SyncDisabled = "SyncDisabled",
        /// No instance told its health.
        ServerUnreachable = "ServerUnreachable",
        /// Pods are made from the present specification and secrets.
        Current = "Current",
        /// Another image is asked for than pods run.
        ImageChanged = "ImageChanged",
        /// A referenced Secret has other values than pods have.
        SecretChanged = "SecretChanged",
        /// Something else of the specification changed.
        SpecChanged = "SpecChanged",
    }
}
