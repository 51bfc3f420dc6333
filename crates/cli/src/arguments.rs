//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// What is remembered.
    #[command(subcommand)]
    Memory(Memory),
    /// The models, and which are in memory.
    Models,
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
pub(crate) enum Memory {
    /// Find by words and by meaning.
    Search {
        /// What.
        query: String,
        /// How many.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
        /// Whose memory.
        #[arg(long, default_value = "")]
        namespace: String,
    },
    /// Write something down.
    Remember {
        /// What.
        text: String,
        /// Whose memory.
        #[arg(long, default_value = "")]
        namespace: String,
    },
    /// The documents of the memory bank.
    #[command(subcommand)]
    Bank(Bank),
    /// The log of significant actions, newest first.
    Actions {
        /// Only this run's.
        #[arg(long, default_value = "")]
        run: String,
    },
    /// How much is stored.
    Stats,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bank {
    /// Take the markdown files of a folder in.
    Import {
        /// The folder.
        folder: PathBuf,
    },
    /// Write the documents, and what was learned since, into a folder.
    Export {
        /// The folder; made when absent.
        folder: PathBuf,
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
