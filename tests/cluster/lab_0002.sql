CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.blocks (
    sweep_id text NOT NULL,
    number integer NOT NULL,
    seed bigint NOT NULL,
    nuisance json NOT NULL
);
CREATE TABLE public.events (
    id integer NOT NULL,
    sweep_id text NOT NULL,
    at timestamp with time zone NOT NULL,
    kind text NOT NULL,
    message text NOT NULL,
    data json NOT NULL
);
CREATE SEQUENCE public.events_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.events_id_seq OWNED BY public.events.id;
CREATE TABLE public.replicates (
    sweep_id text NOT NULL,
    trial integer NOT NULL,
    number integer NOT NULL,
    seed bigint NOT NULL,
    outcome text NOT NULL,
    cause text,
    update integer NOT NULL,
    score double precision,
    test_score double precision,
    solved boolean NOT NULL,
    accuracy double precision,
    verdict text,
    verdict_init text,
    decades double precision,
    decades_init double precision,
    slope double precision,
    hump double precision,
    horizon integer,
    underflow boolean NOT NULL,
    mixed boolean NOT NULL,
    exploded boolean NOT NULL,
    exploded_at integer,
    spikes integer NOT NULL,
    healthy_share double precision,
    clip_rate double precision,
    features json NOT NULL,
    solved_at integer
);
CREATE TABLE public.reports (
    sweep_id text NOT NULL,
    trial integer NOT NULL,
    update integer NOT NULL,
    score double precision NOT NULL
);
CREATE TABLE public.sweeps (
    id text NOT NULL,
    name text NOT NULL,
    status text NOT NULL,
    spec json NOT NULL,
    spec_hash text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    driver_host text,
    driver_pid integer,
    heartbeat_at timestamp with time zone,
    stop_requested boolean NOT NULL,
    mlflow_experiment_id text,
    mlflow_run_id text,
    message text
);
CREATE TABLE public.trials (
    sweep_id text NOT NULL,
    number integer NOT NULL,
    block integer NOT NULL,
    config_hash text NOT NULL,
    label text NOT NULL,
    params json NOT NULL,
    spec json NOT NULL,
    state text NOT NULL,
    score double precision,
    score_sd double precision,
    test_score double precision,
    verdict text,
    verdict_init text,
    decades double precision,
    decades_init double precision,
    exploded integer NOT NULL,
    solved integer NOT NULL,
    healthy integer NOT NULL,
    cause text,
    tune_trial_id text,
    mlflow_run_id text,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    seconds double precision,
    cpu_seconds double precision,
    updates integer NOT NULL,
    worker text
);
ALTER TABLE ONLY public.events ALTER COLUMN id SET DEFAULT nextval('public.events_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0002');
INSERT INTO public.blocks VALUES ('before', 0, 2623922983168352249, '{}');
INSERT INTO public.events VALUES (1, 'before', '2026-11-24 00:19:38.423362+00', 'started', '2 trials, 1 at a time', '{"trials": 2, "slots": 1}');
INSERT INTO public.events VALUES (2, 'before', '2026-11-24 00:22:04.200734+00', 'finished', '2 trials ended', '{}');
INSERT INTO public.replicates VALUES ('before', 0, 0, 8099205666533763119, 'finished', NULL, 20, 0.8593009897559125, 0.8322358057473722, false, NULL, 'too_short', 'too_short', 0, 0, 0, 0, NULL, false, false, false, NULL, 0, 0, 0, '{"clip_coefficient": 1.0, "verdict_by_r": {}, "horizon_by_r": {}, "fit": "none", "power": 0.0, "signals": {"0": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0}, "2": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0, "loss": 0.9333899804633401}, "5": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0, "loss": 0.9333899804633401}, "10": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0, "loss": 0.9743324389827531}}}', NULL);
INSERT INTO public.replicates VALUES ('before', 0, 1, 1804906896028352588, 'finished', NULL, 20, 0.9284899486357494, 0.9033471337611509, false, NULL, 'too_short', 'too_short', 0, 0, 0, 0, NULL, false, false, false, NULL, 0, 0, 0, '{"clip_coefficient": 1.0, "verdict_by_r": {}, "horizon_by_r": {}, "fit": "none", "power": 0.0, "signals": {"0": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0}, "2": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0, "loss": 1.0450993000103488}, "5": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0, "loss": 1.0450993000103488}, "10": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0, "loss": 1.0623998325322634}}}', NULL);
INSERT INTO public.replicates VALUES ('before', 1, 0, 8099205666533763119, 'finished', NULL, 20, 1.0353792670781923, 1.0128638808539132, false, NULL, 'too_short', 'too_short', 0, 0, 0, 0, NULL, false, false, false, NULL, 0, 0, 0, '{"clip_coefficient": 1.0, "verdict_by_r": {}, "horizon_by_r": {}, "fit": "none", "power": 0.0, "signals": {"0": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0}, "2": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0, "loss": 1.059495970305598}, "5": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0, "loss": 1.059495970305598}, "10": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0, "loss": 1.1005218210200414}}}', NULL);
INSERT INTO public.replicates VALUES ('before', 1, 1, 1804906896028352588, 'finished', NULL, 20, 1.0705230444960727, 1.0485313640976193, false, NULL, 'too_short', 'too_short', 0, 0, 0, 0, NULL, false, false, false, NULL, 0, 0, 0, '{"clip_coefficient": 1.0, "verdict_by_r": {}, "horizon_by_r": {}, "fit": "none", "power": 0.0, "signals": {"0": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0}, "2": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0, "loss": 1.1202285315530587}, "5": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0, "loss": 1.1202285315530587}, "10": {"decades": 0.0, "decades_change": 0.0, "horizon": 1.1111111111111112, "healthy": 0.0, "loss": 1.135274854137023}}}', NULL);
INSERT INTO public.reports VALUES ('before', 0, 10, 0.9678753452154092);
INSERT INTO public.reports VALUES ('before', 0, 20, 0.893895469195831);
INSERT INTO public.reports VALUES ('before', 1, 10, 1.0914398162806709);
INSERT INTO public.reports VALUES ('before', 1, 20, 1.0529511557871325);
INSERT INTO public.sweeps VALUES ('before', 'before', 'finished', '{"name": "before", "description": "A sweep of the version before the service.", "task": {"kind": "adding", "length": 10}, "model": {"hidden": 8}, "space": {"cell": ["rnn", "gru"]}, "search": {"sampler": "grid"}, "replicates": 2, "budget": {"updates": 20, "evaluations": 2}}', '6f112d9a788a', '2026-11-24 00:19:37.906573+00', '2026-11-24 00:19:38.030665+00', '2026-11-24 00:22:04.224862+00', 'before', 10558, '2026-11-24 00:22:02.079566+00', false, '1', 'fcf6d5eaeb844802acf224d6177b0c7b', NULL);
INSERT INTO public.trials VALUES ('before', 0, 0, '48344dc67d41', 'rnn tanh', '{"cell": "rnn"}', '{"task": {"kind": "adding", "length": 10, "loss": null}, "model": {"cell": "rnn", "activation": "tanh", "hidden": 8, "depth": 1, "init": "default", "bias_init": "default"}, "optim": {"kind": "adam", "beta1": 0.9, "beta2": 0.999, "lr": 0.001, "batch": 32, "clip": "none"}, "probe": {"measure": ["loss", "total", "inputs", "anchor"], "schedule": "log", "batch": 32, "verdict": {"decades": 3.0, "explosion_hump": 1000.0, "transient_hump": 10.0, "first_lag": 5, "least_lags": 15, "horizon": 3.0}, "exploded": {"ratio": 100.0, "window": 50, "least": 10}}, "budget": {"updates": 20, "evaluations": 2}, "replicates": 2, "seed": 0, "block": 0}', 'complete', 0.893895469195831, 0.04892398200716986, 0.8677914697542616, 'too_short', 'too_short', 0, 0, 0, 0, 0, NULL, '2ffc9e90', 'c37942b1eb634e378626a8ab708b2ce2', '2026-11-24 00:19:38.907686+00', '2026-11-24 00:21:00.61439+00', 2.127454150999256, 0.15257586100000076, 20, 'before:12453');
INSERT INTO public.trials VALUES ('before', 1, 0, '4f5fa2e051f0', 'gru', '{"cell": "gru"}', '{"task": {"kind": "adding", "length": 10, "loss": null}, "model": {"cell": "gru", "activation": null, "hidden": 8, "depth": 1, "init": "default", "bias_init": "default"}, "optim": {"kind": "adam", "beta1": 0.9, "beta2": 0.999, "lr": 0.001, "batch": 32, "clip": "none"}, "probe": {"measure": ["loss", "total", "inputs", "anchor"], "schedule": "log", "batch": 32, "verdict": {"decades": 3.0, "explosion_hump": 1000.0, "transient_hump": 10.0, "first_lag": 5, "least_lags": 15, "horizon": 3.0}, "exploded": {"ratio": 100.0, "window": 50, "least": 10}}, "budget": {"updates": 20, "evaluations": 2}, "replicates": 2, "seed": 0, "block": 0}', 'complete', 1.0529511557871325, 0.024850403328693916, 1.0306976224757662, 'too_short', 'too_short', 0, 0, 0, 0, 0, NULL, '92aaef75', '12a462c3ed8744adb06bafe3befa4664', '2026-11-24 00:21:00.95791+00', '2026-11-24 00:21:03.462113+00', 2.1147618450013397, 0.18618087099999947, 20, 'before:12453');
SELECT pg_catalog.setval('public.events_id_seq', 2, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.blocks
    ADD CONSTRAINT pk_blocks PRIMARY KEY (sweep_id, number);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT pk_events PRIMARY KEY (id);
ALTER TABLE ONLY public.replicates
    ADD CONSTRAINT pk_replicates PRIMARY KEY (sweep_id, trial, number);
ALTER TABLE ONLY public.reports
    ADD CONSTRAINT pk_reports PRIMARY KEY (sweep_id, trial, update);
ALTER TABLE ONLY public.sweeps
    ADD CONSTRAINT pk_sweeps PRIMARY KEY (id);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT pk_trials PRIMARY KEY (sweep_id, number);
CREATE INDEX ix_events_sweep_id ON public.events USING btree (sweep_id);
ALTER TABLE ONLY public.blocks
    ADD CONSTRAINT fk_blocks_sweeps FOREIGN KEY (sweep_id) REFERENCES public.sweeps(id);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT fk_events_sweeps FOREIGN KEY (sweep_id) REFERENCES public.sweeps(id);
ALTER TABLE ONLY public.replicates
    ADD CONSTRAINT fk_replicates_trials FOREIGN KEY (sweep_id, trial) REFERENCES public.trials(sweep_id, number);
ALTER TABLE ONLY public.reports
    ADD CONSTRAINT fk_reports_trials FOREIGN KEY (sweep_id, trial) REFERENCES public.trials(sweep_id, number);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT fk_trials_blocks FOREIGN KEY (sweep_id, block) REFERENCES public.blocks(sweep_id, number);
