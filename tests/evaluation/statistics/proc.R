# Writes proc.json: what pROC answers about two small data sets, for test_delong.py.
# Rscript tests/evaluation/proc.R tests/evaluation/proc.json     (Debian: r-cran-proc, r-cran-jsonlite)
suppressMessages(library(pROC))

answers <- function(truth, first, second) {
  curves <- lapply(list(first = first, second = second), function(score) {
    roc(truth, score, levels = c(0, 1), direction = "<", quiet = TRUE)
  })
  test <- roc.test(curves$first, curves$second, method = "delong", paired = TRUE)
  list(
    truth = truth, first = first, second = second,
    auc = sapply(curves, function(one) as.numeric(auc(one))),
    variance = sapply(curves, var, method = "delong"),
    covariance = cov(curves$first, curves$second, method = "delong"),
    low = sapply(curves, function(one) ci.auc(one, method = "delong")[1]),
    high = sapply(curves, function(one) ci.auc(one, method = "delong")[3]),
    paired = list(difference = unname(test$estimate[1] - test$estimate[2]),
                  low = test$conf.int[1], high = test$conf.int[2], p = unname(test$p.value))
  )
}

data(aSAH)
set.seed(1)
truth <- rbinom(160, 1, 0.4)
rounded <- function(shift) round(shift * truth + rnorm(160))  # a handful of levels: heavy ties
untied <- truth + rnorm(160)
sets <- list(
  aSAH = answers(as.integer(aSAH$outcome == "Poor"), aSAH$s100b, aSAH$ndka),
  tied = answers(truth, rounded(1.2), rounded(0.6)),
  untied = answers(truth, untied, 0.5 * untied + rnorm(160)),
  perfect = answers(truth, truth + runif(160, 0, 0.9), untied)
)
made_by <- paste("pROC", packageVersion("pROC"), "in", R.version.string)
result <- c(list(made_by = made_by), lapply(sets, function(one) lapply(one, function(x) if (length(names(x))) as.list(x) else x)))
writeLines(jsonlite::toJSON(result, digits = NA, auto_unbox = TRUE), commandArgs(TRUE)[1])
