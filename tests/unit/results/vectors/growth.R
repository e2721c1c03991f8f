# Writes growth.csv and repeated.csv: Rscript growth.R
# R 4.2.2 with nlme 3.1-162, lme4 1.1-31, lmerTest 3.1-3, pbkrtest 0.5.2 and emmeans 1.8.4 (Debian 12).
suppressMessages({library(nlme); library(lmerTest); library(pbkrtest); library(emmeans)})
emm_options(msg.interaction = FALSE, msg.nesting = FALSE)
wide <- reshape(as.data.frame(Orthodont), idvar = c("Subject", "Sex"), timevar = "age", direction = "wide")
wide <- data.frame(subject = seq_len(nrow(wide)), sex = wide$Sex, age_8 = wide$distance.8, age_10 = wide$distance.10,
                   age_12 = wide$distance.12, age_14 = wide$distance.14)
write.csv(wide, "growth.csv", row.names = FALSE, quote = FALSE)

# Change from age 8 at three visits; of the second set 15 values are gone.
long <- reshape(wide, idvar = "subject", varying = c("age_10", "age_12", "age_14"), v.names = "y", timevar = "v",
                times = 1:3, direction = "long")
long <- transform(long[order(long$subject, long$v), ], chg = y - age_8, base = age_8, visit = factor(v))
gone <- paste(c(3, 5, 5, 9, 12, 14, 17, 17, 19, 21, 24, 24, 26, 27, 27), c(3, 2, 3, 1, 3, 2, 2, 3, 3, 1, 2, 3, 3, 1, 3))
sets <- list(complete = long, missing = long[!paste(long$subject, long$v) %in% gone, ])

# Kenward and Roger (1997) by whole matrices, with the observed information by differences.
adjusted <- function(d, parts, theta, weights) {
  X <- model.matrix(~ 0 + visit:sex + base, d); y <- d$chg
  whole <- function(th) Reduce(`+`, Map(`*`, th, parts))[d$v, d$v] * outer(d$subject, d$subject, "==")
  deviance <- function(th) {
    root <- tryCatch(chol(whole(th)), error = function(e) NULL)
    if (is.null(root)) return(1e10)
    inner <- chol2inv(root); gram <- t(X) %*% inner %*% X; r <- y - X %*% solve(gram, t(X) %*% inner %*% y)
    2 * sum(log(diag(root))) + c(determinant(gram)$modulus) + c(t(r) %*% inner %*% r)
  }
  for (i in 1:6) theta <- optim(theta, deviance, method = "BFGS",
                                control = list(reltol = 1e-15, maxit = 2000, parscale = abs(theta) + .1))$par
  k <- length(theta)
  W <- solve(optimHess(theta, deviance, control = list(ndeps = rep(5e-4, k))) / 2)
  inner <- solve(whole(theta)); Phi <- solve(t(X) %*% inner %*% X); beta <- Phi %*% t(X) %*% inner %*% y
  D <- lapply(seq_len(k), function(h) whole(replace(numeric(k), h, 1)))
  P <- lapply(D, function(G) -t(X) %*% inner %*% G %*% inner %*% X)
  Q <- function(i, j) t(X) %*% inner %*% D[[i]] %*% inner %*% D[[j]] %*% inner %*% X
  sum <- 0 * Phi
  for (i in 1:k) for (j in 1:k) sum <- sum + W[i, j] * (Q(i, j) - P[[i]] %*% Phi %*% P[[j]])
  A <- Phi + 2 * Phi %*% sum %*% Phi
  l <- weights(colnames(X)); v <- c(t(l) %*% Phi %*% l)
  g <- sapply(P, function(p) c(t(l) %*% Phi %*% p %*% Phi %*% l))
  c(estimate = c(t(l) %*% beta), plain = sqrt(v), se = sqrt(c(t(l) %*% A %*% l)), df = 2 * v^2 / c(t(g) %*% W %*% g))
}
part <- function(i, j) { G <- matrix(0, 3, 3); G[i, j] <- G[j, i] <- 1; G }
structures <- list(unstructured = list(part(1, 1), part(2, 1), part(2, 2), part(3, 1), part(3, 2), part(3, 3)),
                   "compound symmetry" = list(diag(3), matrix(1, 3, 3) - diag(3)))
starts <- list(c(4, 2, 4, 2, 2, 4), c(4, 2))

rows <- list()
add <- function(set, covariance, source, visit, found)
  rows[[length(rows) + 1]] <<- data.frame(set, covariance, source, visit, t(found[c("estimate", "plain", "se", "df")]))
for (set in names(sets)) {
  d <- sets[[set]]
  mean_base <- mean(tapply(d$base, d$subject, `[`, 1))
  control <- glsControl(tolerance = 1e-12, msTol = 1e-14, maxIter = 500, msMaxIter = 500)
  models <- list(gls(chg ~ visit * sex + base, d, corSymm(form = ~ v | subject), varIdent(form = ~ 1 | visit),
                     control = control),
                 gls(chg ~ visit * sex + base, d, corCompSymm(form = ~ v | subject), control = control))
  random <- lmer(chg ~ visit * sex + base + (1 | subject), d)
  for (kind in 1:2) {
    name <- names(structures)[kind]
    means <- as.data.frame(emmeans(models[[kind]], ~ visit, at = list(base = mean_base), mode = "df.error"))
    for (v in 1:3) {
      add(set, name, "gls", v, c(estimate = means$emmean[v], plain = means$SE[v], se = NA, df = NA))
      weights <- function(names) ifelse(names == "base", mean_base, ifelse(grepl(paste0("visit", v, ":"), names), .5, 0))
      add(set, name, "matrices", v, adjusted(d, structures[[kind]], starts[[kind]], weights))
    }
  }
  # The degrees of freedom of one sum are Satterthwaite's; pbkrtest takes the expected information, which is the observed
  # one for complete data only.
  for (df in c("satterthwaite", if (set == "complete") "kenward-roger")) {
    means <- as.data.frame(emmeans(random, ~ visit, at = list(base = mean_base), lmer.df = df))
    for (v in 1:3) add(set, names(structures)[2], c(satterthwaite = "lmerTest", "kenward-roger" = "pbkrtest")[[df]], v,
      c(estimate = means$emmean[v], plain = if (df == "satterthwaite") means$SE[v] else NA,
        se = if (df == "satterthwaite") NA else means$SE[v], df = means$df[v]))
  }
}
table <- do.call(rbind, rows)
for (name in c("estimate", "plain", "se", "df")) table[[name]] <- ifelse(is.na(table[[name]]), "", sprintf("%.8f", table[[name]]))
write.csv(table, "repeated.csv", row.names = FALSE, quote = FALSE)
