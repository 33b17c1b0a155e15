// FlowQL's grammar. Tokens come from tokens.cc, which knows from its place whether a word is a name or a keyword; that
// keeps every decision here to one token of lookahead and lets columns be called `end`, `last` or `by`.
//
// A stage that is not named here is STAGE argument*; it needs no rule of its own.
parser grammar FlowQL;

tokens {
  WORD, NAME, NAMED, FUNCTION, LITERAL, LIST_REFERENCE,
  LEFT_PAREN, LIST_PAREN, SUBQUERY, RIGHT_PAREN, LEFT_BRACKET, RIGHT_BRACKET, COMMA, PIPE, SEMICOLON,
  NAMING, COMPARE, NOT, INFIX_NOT, AND, OR, IN, BETWEEN, IS,
  PLUS, MINUS, NEGATE, STAR, SLASH, PERCENT, PLUS_MINUS,
  FROM, LAST, SINCE, AT, ACTIVE, TIME_BETWEEN,
  WHERE, EXTEND, SELECT, DROP, RENAME, STATS, TOP, TIMESERIES, SORT, LIMIT_STAGE, TAIL, SAMPLE, DISTINCT, RENDER, STAGE,
  BY, AS, ASC, DESC, NULLS, WITH, EVERY, LIMIT, FILL, SPREAD, WINDOW, SLIDE, GAP, OVER, KEYWORD,
  EXPLAIN, ANALYZE, SHOW, CREATE, REPLACE, RULE, LIST, OPTION, ALERT, COMMAND
}

oneStatement : statement EOF ;
oneExpression : expr EOF ;

statement
  : query
  | EXPLAIN ANALYZE? query
  | SHOW WORD argument* (PIPE stage)*
  | CREATE REPLACE? (createRule | createList)
  | COMMAND argument* (OVER timeClause)?
  ;

createRule : RULE identifier option* AS query (alertBy | option)* ;
alertBy : ALERT BY namedExprs ;
option : OPTION (LEFT_PAREN expr (COMMA expr)* RIGHT_PAREN | WORD | NAME | LITERAL) ;
createList : LIST identifier LEFT_PAREN (item (COMMA item)*)? RIGHT_PAREN ;
identifier : WORD | NAME | LITERAL ;

query
  : (FROM name timeClause? | timeClause) (stage timeClause?)? (PIPE stage)*
  | stage timeClause? (PIPE stage)*
  ;

timeClause
  : LAST LITERAL
  | SINCE sum
  | ACTIVE? TIME_BETWEEN sum AND sum
  | AT sum PLUS_MINUS LITERAL
  ;

stage
  : WHERE expr
  | expr
  | EXTEND namedExprs
  | SELECT namedExprs
  | DROP name (COMMA name)*
  | RENAME renaming (COMMA renaming)*
  | STATS namedExprs (by | window)*
  | TOP LITERAL namedExprs by? (WITH WORD)?
  | TIMESERIES namedExprs seriesOption*
  | SORT BY? sortKey (COMMA sortKey)*
  | LIMIT_STAGE LITERAL
  | TAIL LITERAL
  | SAMPLE LITERAL
  | DISTINCT namedExprs?
  | RENDER WORD argument*
  | STAGE argument*
  ;

by : BY namedExprs ;
window : WINDOW (LITERAL (SLIDE LITERAL)? | WORD GAP LITERAL) ;
seriesOption : EVERY LITERAL | by | LIMIT LITERAL | FILL (NEGATE? LITERAL | WORD) | SPREAD ;
renaming : NAMED NAMING name | name AS name ;
sortKey : expr (ASC | DESC)? (NULLS WORD)? ;

namedExprs : namedExpr (COMMA namedExpr)* ;
namedExpr : (NAMED NAMING)? expr (AS name)? ;

argument
  : expr
  | LIST_REFERENCE
  | COMMA
  | SUBQUERY query RIGHT_PAREN
  | LEFT_BRACKET argument* RIGHT_BRACKET
  | BY | AS | ASC | DESC | NULLS | WITH | EVERY | LIMIT | FILL | SPREAD | WINDOW | SLIDE | GAP | KEYWORD
  ;

expr : conjunction (OR conjunction)* ;
conjunction : negation (AND negation)* ;
negation : NOT negation | predicate ;
predicate
  : sum ( COMPARE sum
        | INFIX_NOT (COMPARE sum | IN membership | BETWEEN sum AND sum)
        | IN membership
        | BETWEEN sum AND sum
        | IS NOT? LITERAL )?
  ;
membership : LIST_PAREN item (COMMA item)* RIGHT_PAREN | SUBQUERY query RIGHT_PAREN | item ;
item : LIST_REFERENCE | sum ;

sum : product ((PLUS | MINUS) product)* ;
product : factor ((STAR | SLASH | PERCENT) factor)* ;
factor : NEGATE factor | primary ;
primary
  : LITERAL
  | name
  | FUNCTION LEFT_PAREN (STAR | expr (COMMA expr)*)? RIGHT_PAREN
  | LEFT_PAREN expr RIGHT_PAREN
  ;
name : WORD | NAME ;
