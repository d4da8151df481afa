//! Wire types and metric names shared by the mistralrs-rsd server and the rsd-console.
