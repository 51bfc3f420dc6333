//! Paper exchange, risk, ledger, profit and loss
